import { type Context, copy, type Registry, type RegistryReader } from '@cluster-image/oci';
import PQueue from 'p-queue';
import { everyOne } from './failures.ts';
import { forImage } from './progress.ts';

/** How many images are worked on at a time; how many transfers run at once is the context's business. */
const imagesAtOnce = 16;

export interface Synced {
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

/**
 * Brings every tag of a registry into another, under the same names and with the same digests. What
 * is there already costs one question an image.
 */
export async function sync(
  source: RegistryReader,
  target: Registry,
  context: Context,
): Promise<readonly Synced[]> {
  const all: { repository: string; tag: string }[] = [];
  for await (const repository of source.repositories()) {
    for await (const tag of source.tags(repository)) all.push({ repository, tag });
  }
  context.report({ type: 'stage', name: 'sync', total: all.length });
  const queue = new PQueue({ concurrency: imagesAtOnce });
  return everyOne(
    all,
    ({ repository, tag }) => `${repository}:${tag}`,
    ({ repository, tag }) =>
      queue.add(() =>
        forImage(`${repository}:${tag}`, context, async (counted) => {
          const from = { registry: source, repository };
          const to = { registry: target, repository };
          const { digest } = await copy(from, tag, to, { tag }, counted);
          return { repository, tag, digest };
        }),
      ),
  );
}
