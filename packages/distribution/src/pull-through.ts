import {
  blobsOf,
  type Content,
  type Context,
  codeOf,
  compareBytes,
  type Descriptor,
  type Digest,
  type ImageManifest,
  isDigest,
  isForeign,
  type Manifest,
  OciError,
  type Registry,
  type RegistryReader,
  type Spool,
} from '@cluster-image/oci';
import { type Filling, filling } from './filling.ts';
import { onlyOnce } from './only-once.ts';
import { recent } from './recent.ts';

export interface PullThroughOptions {
  /** What was fetched before, and where all of it goes. */
  readonly cache: Registry & Spool;
  readonly upstream: RegistryReader;
  /** Blobs that are there already, whatever repository they belong to. */
  readonly blobs?: (digest: Digest, size: number) => Promise<Content | undefined>;
  /** How long a tag is believed after it was looked up, in milliseconds; 0 looks every time. */
  readonly maxAge?: number;
  /** Asks no upstream for anything. */
  readonly offline?: boolean;
  readonly context: Context;
  /** Told of every blob that was fetched, by its size in bytes. */
  readonly fetched?: (bytes: number) => void;
  readonly now?: () => number;
}

/** How many tags are remembered at a time, whoever asks for however many. */
const mostTags = 100_000;

/** How much the manifests of images may take whose blobs are waited for, in bytes. */
const mostAwaited = 64 * 1024 * 1024;

/** The most tags that a repository is listed with. */
const mostListed = 100_000;

/** How long a host that was out of order is not asked what known tags mean, in milliseconds. */
const outage = 60_000;

/**
 * A registry that fetches from its upstream what it does not have, once, and keeps it. What is asked
 * for by digest and there costs no request; a tag costs one `HEAD`, unless it was looked up a moment ago.
 * Where the upstream cannot be reached, tags mean what they meant last, and for a minute it is not
 * asked about them again. Repositories are named `host/path` where there are several upstreams.
 *
 * An image is kept as an image once all of its blobs are there; an index at once, for whoever pulls one
 * platform never asks for the others.
 */
export function pullThrough(options: PullThroughOptions): RegistryReader {
  const { cache, upstream, blobs, maxAge = 0, offline = false, context, now = Date.now } = options;
  const { signal } = context;
  /** When tags were last looked up, by repository and tag. */
  const looked = recent<number>(mostTags);
  /** Tags that move to a manifest once it is kept, by repository and digest. */
  const moving = recent<ReadonlySet<string>>(mostTags, ({ size }) => size);
  /** Images whose blobs are not all there yet, by repository and digest. */
  const awaited = recent<Awaited>(mostAwaited, ({ manifest }) => manifest.size);
  /** Until when hosts are not asked, by their names. */
  const out = recent<number>(mostTags);
  const fillings = new Map<Digest, Filling>();
  const lookUp = onlyOnce<Descriptor | undefined>();
  const fetch = onlyOnce<Manifest | undefined>();

  async function resolve(repository: string, reference: string): Promise<Descriptor | undefined> {
    const known = await cache.resolve(repository, reference);
    if (offline) return known;
    if (isDigest(reference)) {
      const here = known ?? (await manifest(repository, reference));
      return here && described(here);
    }
    const name = `${repository}:${reference}`;
    const host = repository.split('/')[0] ?? '';
    const isBelieved = now() - (looked.get(name) ?? -Infinity) < maxAge;
    if (known && (isBelieved || now() < (out.get(host) ?? 0))) return known;
    try {
      const current = await lookUp(name, () => upstream.resolve(repository, reference));
      if (current) looked.set(name, now());
      if (current && current.digest !== known?.digest) {
        const key = keyOf(repository, current.digest);
        moving.set(key, new Set(moving.get(key)).add(reference));
      }
      return current;
    } catch (error) {
      if (!known || !isOutage(error)) throw error;
      out.set(host, now() + outage);
      warn(`${name} may be out of date`, error);
      return known;
    }
  }

  function warn(what: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    context.report({ type: 'warning', message: `${what}: ${why}` });
  }

  async function* tags(repository: string): AsyncIterable<string> {
    const known = (): Promise<string[]> => Array.fromAsync(cache.tags(repository));
    if (offline) return yield* await known();
    try {
      const all: string[] = [];
      for await (const tag of upstream.tags(repository)) {
        if (all.push(tag) === mostListed) break;
      }
      // Whoever reads them page by page relies on their order.
      yield* all.sort(compareBytes);
    } catch (error) {
      const those = isOutage(error) ? await known() : [];
      if (those.length === 0) throw error;
      warn(`tags of ${repository} may be out of date`, error);
      yield* those;
    }
  }

  async function manifest(repository: string, digest: Digest): Promise<Manifest | undefined> {
    const key = keyOf(repository, digest);
    const kept = await cache.manifest(repository, digest);
    if (kept && moving.get(key)) await keep(repository, kept);
    const here = kept ?? awaited.get(key)?.manifest;
    if (here || offline) return here;
    return fetch(key, async () => {
      const found = await upstream.manifest(repository, digest);
      if (found?.kind === 'index') await keep(repository, found);
      if (found?.kind === 'image') await awaitBlobs(repository, found);
      return found;
    });
  }

  async function blob(
    repository: string,
    digest: Digest,
    given?: number,
  ): Promise<Content | undefined> {
    const here = await cache.blob(repository, digest);
    if (here) return here;
    const size = given ?? sizeIn(repository, digest);
    // Only what an image of the repository names is known to belong there.
    if (size !== undefined && (await isThere(repository, { digest, size }))) {
      return cache.blob(repository, digest);
    }
    if (offline) return undefined;
    const source = await upstream.blob(repository, digest, size);
    if (!source) return undefined;
    return { size: source.size, open: (range) => follow(repository, digest, source).open(range) };
  }

  /** Joins whoever brings the blob already. */
  function follow(repository: string, digest: Digest, source: Content): Content {
    const running = fillings.get(digest);
    if (running) {
      running.done.then(() => store(repository, digest, running.content)).catch(() => {});
      return running.content;
    }
    const keepIt = (content: Content): Promise<Content> => store(repository, digest, content);
    const started = filling(source, digest, cache, keepIt, signal);
    fillings.set(digest, started);
    const end = (): void => void fillings.delete(digest);
    started.done.then(() => {
      end();
      options.fetched?.(source.size);
    }, end);
    return started.content;
  }

  /** Keeps a blob, and the images for which it was the last. */
  async function store(repository: string, digest: Digest, content: Content): Promise<Content> {
    await cache.putBlob(repository, digest, content);
    for (const { repository: other, manifest } of [...awaited.values()]) {
      const isPart =
        other === repository && blobsOf(manifest).some((part) => part.digest === digest);
      if (isPart) await keepWhole(repository, manifest);
    }
    const stored = await cache.blob(repository, digest);
    if (stored) return stored;
    throw new OciError('NOT_FOUND', `${repository}: blob ${digest} was stored and is gone`);
  }

  async function awaitBlobs(repository: string, manifest: ImageManifest): Promise<void> {
    awaited.set(keyOf(repository, manifest.digest), { repository, manifest });
    await keepWhole(repository, manifest);
  }

  async function keepWhole(repository: string, manifest: ImageManifest): Promise<void> {
    for (const part of blobsOf(manifest)) {
      if (!isForeign(part) && !(await isThere(repository, part))) return;
    }
    await keep(repository, manifest);
    awaited.delete(keyOf(repository, manifest.digest));
  }

  /** Whether the cache has a part of an image, or has it now because another repository had it. */
  async function isThere(
    repository: string,
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  ): Promise<boolean> {
    if (await cache.blob(repository, digest)) return true;
    const elsewhere = await blobs?.(digest, size);
    if (elsewhere?.size !== size) return false;
    await cache.putBlob(repository, digest, elsewhere);
    return true;
  }

  async function keep(repository: string, manifest: Manifest): Promise<void> {
    const key = keyOf(repository, manifest.digest);
    const [first, ...others] = moving.get(key) ?? [];
    await cache.putManifest(repository, manifest, first);
    for (const tag of others) await cache.putManifest(repository, manifest, tag);
    moving.delete(key);
  }

  function sizeIn(repository: string, digest: Digest): number | undefined {
    for (const { repository: other, manifest } of awaited.values()) {
      if (other !== repository) continue;
      const part = blobsOf(manifest).find((part) => part.digest === digest);
      if (part) return part.size;
    }
    return undefined;
  }

  return {
    resolve,
    manifest,
    blob,
    repositories: () => cache.repositories(),
    tags,
  };
}

interface Awaited {
  readonly repository: string;
  readonly manifest: ImageManifest;
}

function keyOf(repository: string, digest: Digest): string {
  return `${repository}@${digest}`;
}

function described({ mediaType, digest, size }: Descriptor | Manifest): Descriptor {
  return { mediaType, digest, size };
}

/** Whether it says nothing of what was asked, so that what was known before is the best there is. */
function isOutage(error: unknown): boolean {
  const code = codeOf(error);
  return (
    code !== undefined && ['NETWORK', 'TIMEOUT', 'UPSTREAM', 'TOO_MANY_REQUESTS'].includes(code)
  );
}
