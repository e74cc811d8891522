import {
  type Context,
  codeOf,
  compareBytes,
  type Digest,
  type Platform,
  type Referring,
  type Registry,
  type RegistryReader,
} from '@cluster-image/oci';
import PQueue from 'p-queue';
import { asOne, named } from './failures.ts';
import { counting, forImage } from './progress.ts';
import { isAboutTag } from './sync/about.ts';
import { type Brought, bringing } from './sync/bring.ts';
import { type ImageName, type NameFilter, namesIn } from './sync/names.ts';
import { failed, nameOf, reportOn, type SyncedImage, type SyncReport } from './sync/report.ts';

/** How many images are worked on at a time; how many transfers run at once is the context's business. */
const imagesAtOnce = 16;

export interface SyncSource {
  readonly registry: RegistryReader;
  /** Knows what is about the images, where that is to be brought as well. */
  readonly referring?: Referring | undefined;
}

export interface SyncTarget {
  readonly registry: Registry;
  /** Whether it knows by itself what is about a manifest; else lists of it are kept there. */
  knows(repository: string, subject: Digest): Promise<boolean>;
}

export interface SyncOptions {
  readonly filter: NameFilter;
  /** The one platform of whose images tags are to be; without it they mean what they mean at the source. */
  readonly platform?: Platform | undefined;
}

/**
 * Brings the images of a registry into another, under the same names and with the same digests: every
 * tag that is meant and all that it consists of, and what is about it, before the tag. What is there
 * already costs one question to each side. Where some fail, the others are finished, and the report
 * tells of both.
 *
 * Throws what the listing of names throws; and where every one failed that failure, or SOME_FAILED.
 */
export async function sync(
  source: SyncSource,
  target: SyncTarget,
  options: SyncOptions,
  context: Context,
): Promise<SyncReport> {
  const tagsOf = remembering((repository) => Array.fromAsync(source.registry.tags(repository)));
  const names = await namesIn(source.registry, tagsOf, options.filter);
  const tagSetOf = remembering(async (repository) => new Set(await tagsOf(repository)));
  const hasTag = async ({ repository, tag }: ImageName): Promise<boolean> =>
    (await tagSetOf(repository)).has(tag);
  const bring = bringing({ ...source, hasTag }, target, options);
  const queue = new PQueue({ concurrency: imagesAtOnce });
  const unlisted = names.failures.map(({ repository, error }) => ({ name: { repository }, error }));
  const failures: { name: Pick<SyncedImage, 'repository' | 'tag'>; error: unknown }[] = unlisted;
  const images: SyncedImage[] = unlisted.map(({ name, error }) => ({
    ...name,
    ...failed(error),
    bytes: 0,
  }));
  // What cosign has tagged comes with what it is about; what is left of it is brought for itself.
  const isLater = ({ tag }: ImageName): boolean =>
    source.referring !== undefined && isAboutTag(tag);
  await bringAll(names.images.filter((name) => !isLater(name)));
  const brought = new Set(
    images.flatMap(({ repository, about = [] }) =>
      about.map(({ tag = '' }) => nameOf({ repository, tag })),
    ),
  );
  await bringAll(names.images.filter((name) => isLater(name) && !brought.has(nameOf(name))));
  const errors = failures.map(({ name, error }) => named(nameOf(name), error));
  const isAborted = errors.some((error) => codeOf(error) === 'ABORTED');
  if (errors.length > 0 && (errors.length === images.length || isAborted)) {
    throw asOne(errors, images.length);
  }
  return reportOn(images.sort(byName));

  async function bringAll(some: readonly ImageName[]): Promise<void> {
    if (some.length > 0) context.report({ type: 'stage', name: 'sync', total: some.length });
    images.push(...(await Promise.all(some.map((name) => queue.add(() => bringOne(name))))));
  }

  async function bringOne(name: ImageName): Promise<SyncedImage> {
    const counter = counting(context);
    let result: Brought;
    try {
      result = await forImage(nameOf(name), counter.context, (counted) => bring(name, counted));
    } catch (error) {
      failures.push({ name, error });
      return { ...name, ...failed(error), bytes: counter.count().moved };
    }
    return { ...name, ...result, bytes: counter.count().moved };
  }
}

function byName(a: SyncedImage, b: SyncedImage): number {
  return compareBytes(a.repository, b.repository) || compareBytes(a.tag ?? '', b.tag ?? '');
}

/** Asks only once. */
function remembering<T>(ask: (name: string) => Promise<T>): (name: string) => Promise<T> {
  const answers = new Map<string, Promise<T>>();
  return (name) => {
    const answer = answers.get(name) ?? ask(name);
    answers.set(name, answer);
    return answer;
  };
}
