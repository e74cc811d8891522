import { codeOf, OciError, type RegistryReader } from '@cluster-image/oci';
import { braceExpand, Minimatch } from 'minimatch';
import PQueue from 'p-queue';
import { settled } from '../failures.ts';

/** How many lists of tags are asked for at a time. */
const listsAtOnce = 16;

/** An image of a registry, as the registry calls it. */
export interface ImageName {
  readonly repository: string;
  readonly tag: string;
}

/** Which images are meant, by their names. */
export interface NameFilter {
  /** Whether an image is meant. */
  takes(name: ImageName): boolean;
  /** Whether it is excepted, whatever else it is. */
  excepts(name: ImageName): boolean;
  /** What has to be the name of something. */
  readonly only: readonly NamePattern[];
}

/** `repository[:tag]`, either of which may have `*`, `**`, `?`, `[…]`. */
interface NamePattern {
  readonly text: string;
  /** The repository, where it is spelt out. */
  readonly repository: string | undefined;
  /** The tag, where it is spelt out. */
  readonly tag: string | undefined;
  isRepository(repository: string): boolean;
  matches(name: ImageName): boolean;
}

/**
 * Images with a name that one of the patterns is about, or any where there are none, and none of the
 * others. A pattern without a tag is about all tags. `*` stays within a part of a path, `**` goes
 * across. Throws USAGE for what is no pattern.
 */
export function nameFilter(only: readonly string[], except: readonly string[]): NameFilter {
  const wanted = only.flatMap((text) => patternsOf('--only', text));
  const unwanted = except.flatMap((text) => patternsOf('--except', text));
  const excepts = (name: ImageName): boolean => unwanted.some((pattern) => pattern.matches(name));
  return {
    only: wanted,
    excepts,
    takes: (name) =>
      (wanted.length === 0 || wanted.some((pattern) => pattern.matches(name))) && !excepts(name),
  };
}

function patternsOf(flag: string, text: string): readonly NamePattern[] {
  return braceExpand(text).map((pattern) => {
    const [, repository = '', tag] = /^([^:@]+)(?::([^:@/]+))?$/.exec(pattern) ?? [];
    if (repository === '') {
      throw new OciError('USAGE', `${flag} ${JSON.stringify(text)} is not REPOSITORY[:TAG]`, {
        hint: 'Images are named as the source has them, without a host; * stays within a part of a path, ** goes across.',
      });
    }
    return patternOf(text, repository, tag);
  });
}

function patternOf(text: string, repository: string, tag: string | undefined): NamePattern {
  const options = { dot: true, nobrace: true, nocomment: true, noext: true, nonegate: true };
  const [inRepository, inTag] = [repository, tag ?? '*'].map(
    (part) => new Minimatch(part, options),
  );
  const isRepository = (name: string): boolean => inRepository?.match(name) ?? false;
  return {
    text,
    repository: inRepository?.hasMagic() ? undefined : repository,
    tag: inTag?.hasMagic() ? undefined : tag,
    isRepository,
    matches: (name) => isRepository(name.repository) && (inTag?.match(name.tag) ?? false),
  };
}

/** The names of images, and the repositories whose tags could not be listed. */
export interface Names {
  readonly images: readonly ImageName[];
  readonly failures: readonly { readonly repository: string; readonly error: unknown }[];
}

/** The tags of a repository. */
export type TagsOf = (repository: string) => Promise<readonly string[]>;

/**
 * The images of a registry that are meant. What patterns spell out is not looked up in lists, which
 * many registries do not give. Throws NOT_FOUND for a pattern that nothing is named by.
 */
export async function namesIn(
  source: Pick<RegistryReader, 'repositories'>,
  tagsOf: TagsOf,
  filter: NameFilter,
): Promise<Names> {
  const images: ImageName[] = [];
  const failures: { repository: string; error: unknown }[] = [];
  const met = new Set<NamePattern>();
  const queue = new PQueue({ concurrency: listsAtOnce });
  const repositories = await repositoriesIn(source, filter);
  const listed = await settled(repositories.map((name) => queue.add(() => list(name))));
  for (const { repository, tags, error } of listed) {
    if (error !== undefined) failures.push({ repository, error });
    for (const tag of tags) {
      const name = { repository, tag };
      for (const pattern of filter.only) if (pattern.matches(name)) met.add(pattern);
      if (filter.takes(name)) images.push(name);
    }
  }
  const texts = new Set([...met].map(({ text }) => text));
  const unmet = filter.only.find(({ text }) => !texts.has(text));
  if (unmet && failures.length === 0) {
    throw new OciError('NOT_FOUND', `nothing is named by --only ${JSON.stringify(unmet.text)}`, {
      hint: 'Images are named as the source has them, without a host; * stays within a part of a path, ** goes across.',
    });
  }
  return { images, failures };

  async function list(repository: string): Promise<Listed> {
    try {
      return { repository, tags: await tagsIn(repository, tagsOf, filter) };
    } catch (error) {
      if (codeOf(error) === 'ABORTED') throw error;
      return { repository, tags: [], error };
    }
  }
}

interface Listed {
  readonly repository: string;
  readonly tags: readonly string[];
  readonly error?: unknown;
}

async function repositoriesIn(
  source: Pick<RegistryReader, 'repositories'>,
  { only }: NameFilter,
): Promise<readonly string[]> {
  const spelt = only.flatMap(({ repository }) => (repository === undefined ? [] : [repository]));
  if (only.length > 0 && spelt.length === only.length) return [...new Set(spelt)];
  try {
    const all = await Array.fromAsync(source.repositories());
    const isMeant = (repository: string): boolean =>
      only.length === 0 || only.some((pattern) => pattern.isRepository(repository));
    return all.filter(isMeant);
  } catch (error) {
    if (!(error instanceof OciError) || !isRefusal(error)) throw error;
    throw new OciError(error.code, `the repositories are not listed: ${error.message}`, {
      cause: error,
      hint: 'Name each with --only REPOSITORY[:TAG], without * in the repository; then no list is asked for.',
    });
  }
}

function isRefusal({ code }: OciError): boolean {
  return ['UNAUTHORIZED', 'DENIED', 'NOT_FOUND', 'UNSUPPORTED', 'UPSTREAM'].includes(code);
}

async function tagsIn(
  repository: string,
  tagsOf: TagsOf,
  { only }: NameFilter,
): Promise<readonly string[]> {
  const about = only.filter((pattern) => pattern.isRepository(repository));
  const spelt = about.flatMap(({ repository, tag }) =>
    repository === undefined || tag === undefined ? [] : [tag],
  );
  if (about.length > 0 && spelt.length === about.length) return [...new Set(spelt)];
  return tagsOf(repository);
}
