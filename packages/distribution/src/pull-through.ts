import {
  blobsOf,
  type Content,
  type Context,
  codeOf,
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

/** The most images whose blobs are waited for at a time. */
const mostAwaited = 10_000;

/**
 * A registry that fetches from its upstream what it does not have, once, and keeps it. What is asked
 * for by digest and there costs no request; a tag costs one `HEAD`, unless it was looked up a moment ago.
 * Where the upstream cannot be reached, tags mean what they meant last.
 *
 * An image is kept as an image once all of its blobs are there; an index at once, for whoever pulls one
 * platform never asks for the others.
 */
export function pullThrough(options: PullThroughOptions): RegistryReader {
  const { cache, upstream, blobs, maxAge = 0, offline = false, context, now = Date.now } = options;
  const { signal } = context;
  /** When tags were last looked up, by repository and tag. */
  const looked = new Map<string, number>();
  /** Tags that move to a manifest once it is kept, by repository and digest. */
  const moving = new Map<string, Set<string>>();
  /** Images whose blobs are not all there yet, by repository and digest; the oldest first. */
  const awaited = new Map<string, Awaited>();
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
    if (known && now() - (looked.get(name) ?? -Infinity) < maxAge) return known;
    try {
      const current = await lookUp(name, () => upstream.resolve(repository, reference));
      if (current) looked.set(name, now());
      if (current && current.digest !== known?.digest) {
        const key = keyOf(repository, current.digest);
        moving.set(key, (moving.get(key) ?? new Set()).add(reference));
      }
      return current;
    } catch (error) {
      if (!known || !isOutage(error)) throw error;
      const message = error instanceof Error ? error.message : String(error);
      const why = `${name} may be out of date: ${message}`;
      context.report({ type: 'warning', message: why });
      return known;
    }
  }

  async function manifest(repository: string, digest: Digest): Promise<Manifest | undefined> {
    const key = keyOf(repository, digest);
    const here = (await cache.manifest(repository, digest)) ?? awaited.get(key)?.manifest;
    if (here || offline) {
      if (here && !awaited.has(key) && moving.has(key)) await keep(repository, here);
      return here;
    }
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
    const [oldest] = awaited.keys();
    if (awaited.size >= mostAwaited && oldest !== undefined) awaited.delete(oldest);
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
    tags: (repository) => (offline ? cache : upstream).tags(repository),
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
