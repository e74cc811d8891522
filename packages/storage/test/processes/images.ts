import { appendFileSync } from 'node:fs';
import type { Content, Registry } from '@cluster-image/oci';
import { type ImageFixture, imageFixture, noise } from '../../../../tools/testing/src/fixtures.ts';

/** An image of which others have a layer or two. */
export function overlapping(number: number): ImageFixture {
  const layers = ['shared', `of group ${number % 3}`, `of ${number}`].map((seed) =>
    noise(seed, 40_000),
  );
  return imageFixture({ seed: `${number}`, layers });
}

/** Puts an image, noting down each blob that is read for it, and reading it slowly. */
export async function putSlowly(
  registry: Registry,
  repository: string,
  image: ImageFixture,
  tag: string,
  log: string,
  name = '',
): Promise<void> {
  await Promise.all(
    [...image.blobs].map(([digest, body]) =>
      registry.putBlob(
        repository,
        digest,
        slow(body, () => appendFileSync(log, `${name} ${digest}\n`)),
      ),
    ),
  );
  await registry.putManifest(repository, image.root, tag);
}

function slow(body: Uint8Array, opened: () => void): Content {
  return {
    size: body.length,
    async *open({ start, end } = { start: 0, end: body.length }) {
      opened();
      for (let at = start; at < end; at += 8 * 1024) {
        yield body.subarray(at, Math.min(end, at + 8 * 1024));
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
    },
  };
}
