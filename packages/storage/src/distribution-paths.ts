import {
  type Digest,
  digestAlgorithm,
  digestHex,
  isDigest,
  isHost,
  isRepository,
  isTag,
  OciError,
} from '@cluster-image/oci';

/**
 * Where everything lies in a registry directory, as `distribution` has it
 * (https://github.com/distribution/distribution/blob/main/registry/storage/paths.go). Relative to
 * the directory that is its `rootdirectory`:
 *
 *     docker/registry/v2/
 *       blobs/<algorithm>/<first two of hex>/<hex>/data        every layer, config, manifest and index, once
 *       repositories/<name>/
 *         _layers/<algorithm>/<hex>/link                       one for each layer and config of its images
 *         _manifests/
 *           revisions/<algorithm>/<hex>/link                   one for each manifest and index, children too
 *           tags/<tag>/current/link                            what the tag means now
 *           tags/<tag>/index/<algorithm>/<hex>/link            everything it ever meant
 *
 * A `link` is a digest and nothing else, not even a newline. A name may lie below another
 * (`team` and `team/app`), which is why the directories of a repository begin with an underscore.
 */
export const layoutPaths = {
  blobs: 'docker/registry/v2/blobs',
  repositories: 'docker/registry/v2/repositories',
  blob: (digest: Digest) =>
    `docker/registry/v2/blobs/${digestAlgorithm(digest)}/${digestHex(digest).slice(0, 2)}/${digestHex(digest)}/data`,
  repository: (name: string) => `docker/registry/v2/repositories/${checkedName(name)}`,
  layers: (name: string) => `${layoutPaths.repository(name)}/_layers`,
  layer: (name: string, digest: Digest) => `${layoutPaths.layers(name)}/${linkOf(digest)}`,
  revisions: (name: string) => `${layoutPaths.repository(name)}/_manifests/revisions`,
  revision: (name: string, digest: Digest) => `${layoutPaths.revisions(name)}/${linkOf(digest)}`,
  tags: (name: string) => `${layoutPaths.repository(name)}/_manifests/tags`,
  tag: (name: string, tag: string) => `${layoutPaths.tags(name)}/${checkedTag(tag)}/current/link`,
  tagged: (name: string, tag: string, digest: Digest) =>
    `${layoutPaths.tags(name)}/${checkedTag(tag)}/index/${linkOf(digest)}`,
} as const;

function linkOf(digest: Digest): string {
  return `${digestAlgorithm(digest)}/${digestHex(digest)}/link`;
}

/**
 * Whether a name may become a directory. A store keeps the host in front, whose port needs the colon
 * and whose case does not matter; everything else is a repository name.
 */
function isLayoutName(name: string): boolean {
  const slash = name.indexOf('/');
  const hasHost = slash > 0 && isHost(name.slice(0, slash));
  return isRepository(name) || (hasHost && isRepository(name.slice(slash + 1)));
}

function checkedName(name: string): string {
  if (isLayoutName(name)) return name;
  throw new OciError('REFERENCE_INVALID', `${JSON.stringify(name)} is not a repository name`);
}

function checkedTag(tag: string): string {
  if (isTag(tag)) return tag;
  throw new OciError('REFERENCE_INVALID', `${JSON.stringify(tag)} is not a tag`);
}

/** The digest that a link file holds. Throws DIGEST_INVALID, naming the file. */
export function parseLink(text: string, path: string): Digest {
  if (isDigest(text)) return text;
  throw badLink(path, `holds ${JSON.stringify(text.slice(0, 160))} and not a digest`);
}

/** Whether a link was found where that of a digest lies. Throws DIGEST_INVALID for one to something else. */
export function isLinkTo(digest: Digest, linked: Digest | undefined, path: string): boolean {
  if (linked === undefined || linked === digest) return linked === digest;
  throw badLink(path, `holds ${linked}`);
}

function badLink(path: string, why: string): OciError {
  return new OciError('DIGEST_INVALID', `${path} ${why}`, {
    hint: 'The directory is damaged. Run `cluster-image verify` on it.',
  });
}
