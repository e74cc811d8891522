import { type Content, type Digest, hasher, OciError, throwIfAborted } from '@cluster-image/oci';
import { type Origin, responseError, scopesOf } from './origin.ts';
import { isTransient } from './transport.ts';
import { locationOf, openUpload, withDigest } from './upload.ts';

/** How often an upload is begun anew. */
const attempts = 4;

/**
 * Uploads a blob whose digest is only known once its last byte went by: as one chunk, which the
 * registry is told the digest of afterwards. What the content is made of is its own business, so
 * that is to be one that checks itself.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-a-blob-in-chunks
 *
 * Throws UNSUPPORTED where the registry takes no chunk of that size.
 */
export async function appendBlob(
  origin: Origin,
  repository: string,
  content: Content,
): Promise<Digest> {
  const what = `a blob of ${content.size} bytes to ${origin.host}/${repository}`;
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(origin.context.signal);
    try {
      return await append(origin, repository, content, what);
    } catch (error) {
      if (!isTransient(error) || attempt >= attempts) throw error;
      await origin.patience.pause(attempt, error);
    }
  }
}

async function append(
  origin: Origin,
  repository: string,
  content: Content,
  what: string,
): Promise<Digest> {
  const scopes = scopesOf(repository, 'pull,push');
  const session = await openUpload(origin, repository, what);
  if (!session) throw new OciError('UPSTREAM', `${what}: no upload was opened`);
  let digest: Digest | undefined;
  const sent = await origin.exchange({
    method: 'PATCH',
    url: session.url,
    headers: {
      'content-type': 'application/octet-stream',
      ...(content.size > 0 && { 'content-range': `0-${content.size - 1}` }),
    },
    body: {
      size: content.size,
      async *open() {
        // Begun again where the registry first wanted to know who asks.
        const hash = hasher();
        for await (const chunk of content.open()) {
          hash.update(chunk);
          yield chunk;
        }
        digest = hash.digest();
      },
    },
    scopes,
    once: true,
  });
  if (sent.status === 413 || sent.status === 416) {
    await sent.discard();
    throw new OciError('UNSUPPORTED', `${what}: the registry answered ${sent.status}`, {
      hint: 'It wants smaller pieces. Build with the content store, and push the image from there.',
    });
  }
  if (![201, 202, 204].includes(sent.status)) throw await responseError(origin, sent, what);
  const url = locationOf(origin, what, sent, session.url);
  await sent.discard();
  digest ??= hasher().digest();
  const done = await origin.exchange({
    method: 'PUT',
    url: withDigest(url, digest),
    headers: { 'content-length': '0' },
    scopes,
    once: true,
  });
  if (done.status !== 201 && done.status !== 204) throw await responseError(origin, done, what);
  await done.discard();
  return digest;
}
