import {
  compareBytes,
  type Digest,
  describe,
  fileOf,
  isDigest,
  isTag,
  type Manifest,
  manifestLimit,
  parseManifest,
  type RegistryReader,
  readAll,
  readText,
  type Tree,
} from '@cluster-image/oci';
import { isLinkTo, layoutPaths, parseLink } from './distribution-paths.ts';

/** Longer than any link, in bytes. */
const linkLimit = 1024;

/**
 * A directory in the layout of `distribution`, wherever it lies: on disk, in an archive, in the
 * layers of an image.
 *
 * @param what how errors name it
 */
export function distributionReader(tree: Tree, what: string): RegistryReader {
  async function readLink(path: string): Promise<Digest | undefined> {
    const content = await fileOf(tree, path);
    if (!content) return undefined;
    const text = await readText(content, linkLimit);
    return parseLink(text, `${what}/${path}`);
  }

  /** Whether a repository has what a link of its own name stands for. */
  async function isLinked(path: string, digest: Digest): Promise<boolean> {
    return isLinkTo(digest, await readLink(path), `${what}/${path}`);
  }

  async function manifest(repository: string, digest: Digest): Promise<Manifest | undefined> {
    if (!(await isLinked(layoutPaths.revision(repository, digest), digest))) return undefined;
    const content = await fileOf(tree, layoutPaths.blob(digest));
    if (!content) return undefined;
    return parseManifest(await readAll(content, manifestLimit), `${repository} in ${what}`, digest);
  }

  return {
    manifest,
    async resolve(repository, reference) {
      const digest = isDigest(reference)
        ? reference
        : isTag(reference)
          ? await readLink(layoutPaths.tag(repository, reference))
          : undefined;
      const found = digest && (await manifest(repository, digest));
      return found && describe(found);
    },
    async blob(repository, digest) {
      if (!(await isLinked(layoutPaths.layer(repository, digest), digest))) return undefined;
      return fileOf(tree, layoutPaths.blob(digest));
    },
    async *repositories() {
      const names = new Set<string>();
      const prefix = `${layoutPaths.repositories}/`;
      for await (const { path } of tree.entries(layoutPaths.repositories)) {
        const end = path.indexOf('/_manifests');
        if (end > 0) names.add(path.slice(prefix.length, end));
      }
      yield* [...names].sort(compareBytes);
    },
    async *tags(repository) {
      const prefix = `${layoutPaths.tags(repository)}/`;
      const tags: string[] = [];
      for await (const { path } of tree.entries(layoutPaths.tags(repository))) {
        const tag = /^([^/]+)\/current\/link$/.exec(path.slice(prefix.length))?.[1];
        if (tag !== undefined && isTag(tag)) tags.push(tag);
      }
      yield* tags.sort(compareBytes);
    },
  };
}
