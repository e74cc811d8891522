import {
  type Digest,
  describeReferrer,
  isDigest,
  isTag,
  type Manifest,
  type Referring,
  type Removable,
} from '@cluster-image/oci';
import type { Disk } from './disk.ts';
import { layoutPaths } from './distribution-paths.ts';

/** The manifest with that digest in a repository. */
type ManifestOf = (repository: string, digest: Digest) => Promise<Manifest | undefined>;

/** Removes links in the reverse of the order in which they are made; a reader never meets half an image. */
export function removalFrom(disk: Disk): Removable {
  async function removeTag(repository: string, tag: string): Promise<boolean> {
    const link = disk.path(layoutPaths.tag(repository, tag));
    const isRemoved = await disk.remove(link);
    await disk.flush();
    await disk.remove(disk.path(layoutPaths.tags(repository), tag));
    await disk.flush();
    return isRemoved;
  }

  return {
    removeTag,
    async removeManifest(repository, digest) {
      for (const tag of await disk.names(disk.path(layoutPaths.tags(repository)))) {
        const isMeant =
          isTag(tag) && (await disk.text(disk.path(layoutPaths.tag(repository, tag)))) === digest;
        if (isMeant) await removeTag(repository, tag);
      }
      const isRemoved = await disk.remove(disk.path(layoutPaths.revision(repository, digest)));
      await disk.flush();
      return isRemoved;
    },
    async removeBlob(repository, digest) {
      const isRemoved = await disk.remove(disk.path(layoutPaths.layer(repository, digest)));
      await disk.flush();
      return isRemoved;
    },
  };
}

/** The layout has no place for what is about a manifest, so all of a repository is looked through. */
export function referringIn(disk: Disk, manifestOf: ManifestOf): Referring {
  /** Subjects of manifests, which never change, by the digest of the manifest. */
  const subjects = new Map<Digest, Digest | undefined>();

  async function subjectOf(repository: string, digest: Digest): Promise<Digest | undefined> {
    if (subjects.has(digest)) return subjects.get(digest);
    const subject = (await manifestOf(repository, digest))?.subject?.digest;
    subjects.set(digest, subject);
    return subject;
  }

  return {
    async *referrers(repository, subject) {
      for (const digest of await revisionsOf(disk, repository)) {
        if ((await subjectOf(repository, digest)) !== subject) continue;
        const found = await manifestOf(repository, digest);
        if (found) yield describeReferrer(found);
      }
    },
  };
}

async function revisionsOf(disk: Disk, repository: string): Promise<readonly Digest[]> {
  const found: Digest[] = [];
  const revisions = layoutPaths.revisions(repository);
  for (const algorithm of ['sha256', 'sha512']) {
    for (const hex of await disk.names(disk.path(revisions, algorithm))) {
      const digest = `${algorithm}:${hex}`;
      if (isDigest(digest)) found.push(digest);
    }
  }
  return found;
}
