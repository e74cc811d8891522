import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_subjectAltName,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  Name,
  NameConstraints,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509';

/** A certificate and the key of it, in PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

const day = 86_400_000;

/** How long an authority and what it vouches for last, in days; browsers and Go accept no more of the latter. */
const authorityLife = 3650;
const hostLife = 397;

/**
 * Makes a certificate authority that can vouch for these host names and those below them, and for
 * nothing else, whoever gets hold of its key. https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.10
 */
export function makeAuthority(hosts: readonly string[], now: number = Date.now()): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = nameOf('cluster-image local authority');
  const permitted = hosts.map(
    (host) => new GeneralSubtree({ base: new GeneralName({ dNSName: host }) }),
  );
  return certify({
    subject: name,
    issuer: name,
    publicKey,
    privateKey,
    signer: privateKey,
    validity: lasting(now, authorityLife),
    extensions: [
      critical(id_ce_basicConstraints, new BasicConstraints({ cA: true, pathLenConstraint: 0 })),
      critical(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.keyCertSign)),
      critical(
        id_ce_nameConstraints,
        new NameConstraints({ permittedSubtrees: new GeneralSubtrees(permitted) }),
      ),
    ],
  });
}

/** Makes a certificate for a host that an authority vouches for. */
export function certificateFor(
  host: string,
  authority: KeyPair,
  now: number = Date.now(),
): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = AsnConvert.parse(new X509Certificate(authority.cert).raw, Certificate);
  return certify({
    subject: nameOf(host),
    issuer: issuer.tbsCertificate.subject,
    publicKey,
    privateKey,
    signer: createPrivateKey(authority.key),
    validity: lasting(now, hostLife),
    extensions: [
      critical(id_ce_basicConstraints, new BasicConstraints({ cA: false })),
      critical(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.digitalSignature)),
      plain(id_ce_extKeyUsage, new ExtendedKeyUsage([id_kp_serverAuth])),
      plain(id_ce_subjectAltName, new SubjectAlternativeName([new GeneralName({ dNSName: host })])),
    ],
  });
}

interface Certified {
  readonly subject: Name;
  readonly issuer: Name;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly signer: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly Extension[];
}

/** https://www.rfc-editor.org/rfc/rfc5480 */
const ecdsaWithSha256 = '1.2.840.10045.4.3.2';

function certify(given: Certified): KeyPair {
  const { subject, issuer, publicKey, privateKey, signer, validity, extensions } = given;
  const signatureAlgorithm = new AlgorithmIdentifier({ algorithm: ecdsaWithSha256 });
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialNumber(),
    signature: signatureAlgorithm,
    issuer,
    validity,
    subject,
    subjectPublicKeyInfo: AsnConvert.parse(
      publicKey.export({ type: 'spki', format: 'der' }),
      SubjectPublicKeyInfo,
    ),
    extensions: new Extensions([...extensions]),
  });
  const signed = sign('sha256', Buffer.from(AsnConvert.serialize(tbsCertificate)), signer);
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm,
    signatureValue: toBuffer(signed),
  });
  const cert = new X509Certificate(Buffer.from(AsnConvert.serialize(certificate)));
  return {
    cert: cert.toString(),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function nameOf(text: string): Name {
  const commonName = '2.5.4.3';
  const value = new AttributeValue({ utf8String: text });
  return new Name([
    new RelativeDistinguishedName([new AttributeTypeAndValue({ type: commonName, value })]),
  ]);
}

function lasting(now: number, days: number): Validity {
  // Clocks differ a little.
  return new Validity({ notBefore: new Date(now - day), notAfter: new Date(now + days * day) });
}

function critical(extnID: string, value: object): Extension {
  return new Extension({ extnID, critical: true, extnValue: octets(value) });
}

function plain(extnID: string, value: object): Extension {
  return new Extension({ extnID, critical: false, extnValue: octets(value) });
}

function octets(value: object): OctetString {
  return new OctetString(AsnConvert.serialize(value));
}

/** Positive, and too random to be guessed. */
function serialNumber(): ArrayBuffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return toBuffer(bytes);
}

function toBuffer(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
}

/** Whether a key belongs to a certificate that is still good, and vouches for these hosts. */
export function isAuthorityFor(
  { cert, key }: KeyPair,
  hosts: readonly string[],
  now = Date.now(),
): boolean {
  try {
    const certificate = new X509Certificate(cert);
    const isOwn = certificate.publicKey.equals(createPublicKey(createPrivateKey(key)));
    const isGood = Date.parse(certificate.validTo) - 30 * day > now;
    const permitted = AsnConvert.parse(
      certificate.raw,
      Certificate,
    ).tbsCertificate.extensions?.find(({ extnID }) => extnID === id_ce_nameConstraints);
    const constraints = permitted && AsnConvert.parse(permitted.extnValue.buffer, NameConstraints);
    const names = (constraints?.permittedSubtrees ?? []).map(({ base }) => base.dNSName);
    return isOwn && isGood && JSON.stringify(names) === JSON.stringify(hosts);
  } catch {
    return false;
  }
}
