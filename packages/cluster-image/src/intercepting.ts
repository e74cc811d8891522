import { join } from 'node:path';
import {
  type Connector,
  handler,
  type InterceptOptions,
  intercept,
} from '@cluster-image/distribution';
import { bytes, OciError, type RegistryReader, readText } from '@cluster-image/oci';
import { file, saveFile } from '@cluster-image/storage';
import { certificateFor, isAuthorityFor, type KeyPair, makeAuthority } from './local-authority.ts';

export interface Intercepting {
  /** Hosts as references name them: `quay.io`, `docker.io`. */
  readonly hosts: readonly string[];
  /** The directory of the authority that clients are to trust. */
  readonly directory: string;
  readonly tunnels: boolean;
  readonly mayConnect?: NonNullable<InterceptOptions['mayConnect']>;
  readonly log?: NonNullable<InterceptOptions['log']>;
}

/** Where Docker Hub answers; references call it docker.io. */
const hubHosts = ['registry-1.docker.io', 'index.docker.io'];

export const authorityName = 'authority.pem';

/**
 * Answers for hosts in their stead, for clients that have this server as their HTTPS proxy.
 *
 * @param namespace the registry of a host
 */
export async function interceptor(
  { hosts, directory, tunnels, ...rest }: Intercepting,
  namespace: (host: string) => RegistryReader,
): Promise<Connector> {
  const wanted = [...new Set(hosts)].sort();
  const authority = await authorityIn(directory, wanted);
  const handlers = new Map(
    wanted.flatMap((host) => {
      const answers = handler(namespace(host));
      const names = host === 'docker.io' ? [host, ...hubHosts] : [host];
      return names.map((name) => [name, answers] as const);
    }),
  );
  return intercept({
    handlerFor: (host) => handlers.get(host),
    certificateFor: (host) => certificateFor(host, authority),
    tunnels,
    ...rest,
  });
}

/** The authority in a directory; made anew where there is none for just these hosts. */
async function authorityIn(directory: string, hosts: readonly string[]): Promise<KeyPair> {
  const [certPath, keyPath] = [join(directory, authorityName), join(directory, 'authority.key')];
  const [cert, key] = [await textAt(certPath), await textAt(keyPath)];
  if (cert !== undefined && key !== undefined && isAuthorityFor({ cert, key }, hosts)) {
    return { cert, key };
  }
  const made = makeAuthority(hosts);
  await saveFile(keyPath, bytes(made.key), undefined, 0o600);
  await saveFile(certPath, bytes(made.cert));
  return made;
}

/** The most that a file with a key may hold, in bytes. */
const fileLimit = 64 * 1024;

async function textAt(path: string): Promise<string | undefined> {
  const content = await file(path);
  if (!content) return undefined;
  if (content.size > fileLimit)
    throw new OciError('INPUT_INVALID', `${path} is no key or certificate`);
  return readText(content, fileLimit);
}
