import type { Digest } from '@cluster-image/oci';
import { layoutPaths, type PlanEntry } from '@cluster-image/storage';
import type { Placement } from './placement.ts';
import { directoryEntry, parentsOf } from './source.ts';

/**
 * The directory that `distribution` would make of the placed images, as entries: links are texts,
 * blobs are digests, and not one of them exists on disk.
 *
 * @param root where the directory is, for instance `registry`
 */
export function registrySource(
  placements: readonly Placement[],
  root: string,
): ReadonlyMap<string, PlanEntry> {
  // There is one even without images, so that a build file which copies it needs no other form.
  const entries = new Map<string, PlanEntry>([[root, directoryEntry(root)]]);
  const add = (entry: PlanEntry): void => {
    for (const parent of parentsOf(entry.path)) entries.set(parent, directoryEntry(parent));
    entries.set(entry.path, entry);
  };
  const addBlob = (digest: Digest, size: number): void =>
    add({ type: 'file', path: `${root}/${layoutPaths.blob(digest)}`, mode: 0o644, digest, size });
  const addLink = (path: string, digest: Digest): void =>
    add({ type: 'text', path: `${root}/${path}`, mode: 0o644, text: digest });

  for (const { repository, tag, root: image, manifests, blobs } of placements) {
    // A registry lists a repository by this directory, even one without layers.
    add(directoryEntry(`${root}/${layoutPaths.layers(repository)}`));
    for (const { digest, size } of blobs) {
      addBlob(digest, size);
      addLink(layoutPaths.layer(repository, digest), digest);
    }
    for (const { digest, size } of manifests) {
      addBlob(digest, size);
      addLink(layoutPaths.revision(repository, digest), digest);
    }
    addLink(layoutPaths.tagged(repository, tag, image.digest), image.digest);
    addLink(layoutPaths.tag(repository, tag), image.digest);
  }
  return entries;
}
