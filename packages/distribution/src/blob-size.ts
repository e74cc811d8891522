import type { Digest } from '@cluster-image/oci';
import { type Origin, refuseHtml, responseError, scopesOf } from './origin.ts';
import { formatRoute } from './route.ts';
import type { HttpResponse } from './transport.ts';

/** The size of a blob of a remote registry in bytes, or undefined where it has none such. */
export async function blobSize(
  origin: Origin,
  repository: string,
  digest: Digest,
  method: 'HEAD' | 'GET' = 'HEAD',
): Promise<number | undefined> {
  const response = await origin.exchange({
    method,
    url: new URL(formatRoute({ kind: 'blob', repository, digest }), origin.url),
    scopes: scopesOf(repository, 'pull'),
  });
  const what = `blob ${digest} of ${origin.host}/${repository}`;
  if (response.status === 200) await refuseHtml(response, what);
  const size = response.status === 200 ? lengthOf(response) : undefined;
  // Some registries do not know HEAD, or answer it without a length.
  const isUnknown = size === undefined && [200, 400, 405, 501].includes(response.status);
  if (method === 'HEAD' && isUnknown) {
    await response.discard();
    return blobSize(origin, repository, digest, 'GET');
  }
  if (size === undefined && response.status !== 404) {
    throw await responseError(origin, response, what);
  }
  await response.discard();
  return size;
}

function lengthOf(response: HttpResponse): number | undefined {
  const length = response.header('content-length') ?? '';
  return /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}
