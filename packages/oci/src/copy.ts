import { observed, sizeMismatch } from './content.ts';
import { type Digest, isDigest } from './digest.ts';
import { codeOf, isDamage, OciError, throwIfAborted } from './error.ts';
import type { Context } from './event.ts';
import { blobsOf, type Descriptor, isForeign, isIndex, type Manifest } from './manifest.ts';
import type { Registry, Repository } from './registry.ts';

export interface CopyOptions {
  /** The tag to set at the target; none by default. */
  readonly tag?: string;
  /** Which children of an index come along; all by default. */
  readonly children?: (child: Descriptor) => boolean;
  /** Which layers come along; all by default. For targets that are no more than a place for parts. */
  readonly layers?: (layer: Descriptor) => boolean;
  /**
   * Looks at every part even where the target has the manifest already. For targets whose manifests
   * may stand without their blobs or children.
   */
  readonly recheck?: boolean;
  /** A repository of the target that may have the blobs already. */
  readonly mountFrom?: string;
}

/** Deeper nesting of indexes than any real image has. */
const deepest = 4;

/**
 * Copies an image or index, children before parents, and everything before the tag: whoever reads
 * the target meanwhile sees the image whole or not at all. What the target has is not read from the
 * source. This is the one loop that moves images; push, pull, save, load and sync are calls of it.
 *
 * Throws NOT_FOUND where the source lacks a part, and what either side throws.
 *
 * @param reference tag or digest at the source
 */
export async function copy(
  source: Repository,
  reference: string,
  target: Repository<Registry>,
  options: CopyOptions,
  context: Context,
): Promise<Manifest> {
  const started = new Map<Digest, Promise<void>>();
  const { tag, children = () => true, layers = () => true } = options;
  let isTrusted = !options.recheck;
  const root = await fetchRoot(source, reference);
  if (await isPresent(root, tag)) return root;
  if (tag === undefined || !(await isPresent(root))) await copyParts(root, 0);
  await put(root, 0, tag);
  return root;

  async function put(manifest: Manifest, depth: number, tag?: string): Promise<void> {
    const { registry, repository } = target;
    try {
      await registry.putManifest(repository, manifest, tag);
    } catch (error) {
      if (codeOf(error) !== 'NOT_FOUND' || !isTrusted) throw error;
      // A push that broke off can leave manifests whose parts are not there; now each part is looked at.
      isTrusted = false;
      started.clear();
      await copyParts(manifest, depth);
      await registry.putManifest(repository, manifest, tag);
    }
  }

  function once(digest: Digest, job: () => Promise<void>): Promise<void> {
    const running = started.get(digest) ?? job();
    started.set(digest, running);
    return running;
  }

  /** Whether the target has a manifest and with it, since parts come first, all that it names. */
  async function isPresent(
    { digest, mediaType }: Pick<Manifest, 'digest' | 'mediaType'>,
    tag?: string,
  ): Promise<boolean> {
    const mayLackParts = !isTrusted || (options.children && isIndex(mediaType));
    return !mayLackParts && (await holds(target, digest, tag));
  }

  async function copyParts(manifest: Manifest, depth: number): Promise<void> {
    throwIfAborted(context.signal);
    if (manifest.kind === 'image') {
      const isWanted = (blob: Descriptor): boolean =>
        blob.digest === manifest.config.digest || layers(blob);
      const blobs = blobsOf(manifest).filter(isWanted);
      await settleAll(blobs.map((blob) => once(blob.digest, () => copyBlob(blob))));
      return;
    }
    await settleAll(
      manifest.manifests
        .filter(children)
        .map((child) => once(child.digest, () => copyChild(manifest, child, depth + 1))),
    );
  }

  async function copyChild(parent: Manifest, child: Descriptor, depth: number): Promise<void> {
    if (depth > deepest) {
      throw new OciError(
        'MANIFEST_INVALID',
        `index ${root.digest} of ${source.repository} is nested deeper than ${deepest}`,
      );
    }
    if (await isPresent(child)) return;
    const manifest = await context.transfer(() =>
      source.registry.manifest(source.repository, child.digest),
    );
    if (!manifest) throw missing(source, `manifest ${child.digest} of index ${parent.digest}`);
    if (manifest.size !== child.size) {
      throw sizeMismatch(
        `manifest of ${source.repository}`,
        child.digest,
        child.size,
        manifest.size,
      );
    }
    await copyParts(manifest, depth);
    await put(manifest, depth);
  }

  async function copyBlob(blob: Descriptor): Promise<void> {
    if (isForeign(blob)) {
      context.report({
        type: 'warning',
        message: `${source.repository}: layer ${blob.digest} may not be redistributed and was left out`,
      });
      return;
    }
    await context.transfer(async () => {
      throwIfAborted(context.signal);
      const { repository } = source;
      const content = await source.registry.blob(repository, blob.digest, blob.size);
      if (!content) throw missing(source, `blob ${blob.digest}`);
      if (content.size !== blob.size) {
        throw sizeMismatch(`blob of ${repository}`, blob.digest, blob.size, content.size);
      }
      const event = { type: 'blob', repository, digest: blob.digest, size: blob.size } as const;
      let opened = false;
      const watched = observed(content, (moved) => {
        if (!opened) context.report({ ...event, state: 'start' });
        opened = true;
        context.report({ ...event, state: 'moved', moved });
      });
      await target.registry.putBlob(target.repository, blob.digest, watched, options.mountFrom);
      context.report({ ...event, state: opened ? 'done' : 'present' });
    });
  }
}

async function fetchRoot(source: Repository, reference: string): Promise<Manifest> {
  const { registry, repository } = source;
  const digest = isDigest(reference)
    ? reference
    : (await registry.resolve(repository, reference))?.digest;
  const root = digest && (await registry.manifest(repository, digest));
  if (!root) {
    throw missing(source, isDigest(reference) ? `manifest ${reference}` : `tag ${reference}`);
  }
  return root;
}

/** Whether a target has a manifest, under a tag if one is given. What is damaged there is not: it is to be replaced. */
export async function holds(target: Repository, digest: Digest, tag?: string): Promise<boolean> {
  try {
    const found = await target.registry.resolve(target.repository, tag ?? digest);
    return found?.digest === digest;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  }
}

function missing(source: Repository, what: string): OciError {
  return new OciError('NOT_FOUND', `${source.repository || 'image'}: the source has no ${what}`);
}

/** Waits for all of them, then throws the first failure: nothing goes on behind the caller's back. */
async function settleAll(jobs: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(jobs);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
