import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  certificateFor,
  isAuthorityFor,
  type KeyPair,
  makeAuthority,
} from '../src/local-authority.ts';

const hosts = ['docker.io', 'quay.io'];
const authority = makeAuthority(hosts);

/** What a client that trusts the authority says to a server with that certificate. */
async function greeting(host: string, pair: KeyPair): Promise<string> {
  const server = createServer(pair, (socket) => socket.end('welcome'));
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const socket = connect({ host: '127.0.0.1', port, servername: host, ca: authority.cert });
  try {
    await once(socket, 'secureConnect');
    return 'trusted';
  } catch (error) {
    return error instanceof Error ? error.message : 'failed';
  } finally {
    socket.destroy();
  }
}

describe('a local authority', () => {
  test.each(['quay.io', 'cdn.quay.io', 'docker.io', 'registry-1.docker.io'])(
    'vouches for %s',
    async (host) => {
      expect(await greeting(host, certificateFor(host, authority))).toBe('trusted');
    },
  );

  test.each(['evil.example', 'notquay.io', 'io'])('cannot vouch for %s', async (host) => {
    expect(await greeting(host, certificateFor(host, authority))).toBe(
      'permitted subtree violation',
    );
  });

  test('that is another one is not believed', async () => {
    const other = certificateFor('quay.io', makeAuthority(hosts));
    expect(await greeting('quay.io', other)).not.toBe('trusted');
  });

  test('says what it is, and lasts', () => {
    const certificate = new X509Certificate(authority.cert);
    expect(certificate.ca).toBe(true);
    expect(certificate.subject).toBe('CN=cluster-image local authority');
    const years = (Date.parse(certificate.validTo) - Date.now()) / (365 * 86_400_000);
    expect(years).toBeGreaterThan(9);
    const host = new X509Certificate(certificateFor('quay.io', authority).cert);
    expect([host.ca, host.subjectAltName]).toEqual([false, 'DNS:quay.io']);
    expect(Date.parse(host.validTo) - Date.now()).toBeLessThan(398 * 86_400_000);
    expect(new Set([certificate.serialNumber, host.serialNumber]).size).toBe(2);
  });

  test.each<[string, KeyPair, readonly string[], boolean]>([
    ['its own hosts', authority, hosts, true],
    ['other hosts', authority, ['quay.io'], false],
    ['a key of another', { ...authority, key: makeAuthority(hosts).key }, hosts, false],
    ['a certificate that is none', { ...authority, cert: 'x' }, hosts, false],
    ['one that is over soon', makeAuthority(hosts, Date.now() - 3630 * 86_400_000), hosts, false],
    ['one of a host', certificateFor('quay.io', authority), hosts, false],
  ])('is known for what it is: %s', (_, pair, wanted, expected) => {
    expect(isAuthorityFor(pair, wanted)).toBe(expected);
  });
});
