import { createHash } from 'node:crypto';
import { OciError } from './error.ts';

declare const brand: unique symbol;

/**
 * `sha256:<64 lower-case hex>` or `sha512:<128 lower-case hex>`, and nothing else: a digest becomes
 * a file name and a URL, so this is the one place that decides what a digest is.
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests
 */
export type Digest = string & { readonly [brand]: 'Digest' };

export type Algorithm = 'sha256' | 'sha512';

const grammar = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: string): text is Digest {
  return grammar.test(text);
}

/** Throws DIGEST_INVALID. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new OciError('DIGEST_INVALID', `not a digest: ${JSON.stringify(text.slice(0, 160))}`, {
    hint: 'A digest is sha256: and 64 lower-case hexadecimal digits.',
  });
}

export function digestAlgorithm(digest: Digest): Algorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The hexadecimal part of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`);
}

/** A running digest: `update` with the bytes in order, then `digest` once. */
export interface Hasher {
  update(chunk: Uint8Array): void;
  digest(): Digest;
}

export function hasher(algorithm: Algorithm = 'sha256'): Hasher {
  const hash = createHash(algorithm);
  return {
    update: (chunk) => void hash.update(chunk),
    digest: () => parseDigest(`${algorithm}:${hash.digest('hex')}`),
  };
}
