import {
  blobsOf,
  bytes,
  type Content,
  type Descriptor,
  type Digest,
  describe,
  type ImageManifest,
  type Manifest,
  OciError,
  type RegistryReader,
  sizeMismatch,
  verified,
} from '@cluster-image/oci';
import { type Earlier, layersOf } from './delta.ts';
import {
  containerdName,
  ociBlobPath,
  ociLayoutFiles,
  refName,
  sinceAnnotations,
} from './oci-layout.ts';
import { type TarEntry, tarball } from './tar-writer.ts';

/** What an archive calls its image. */
export interface ArchivedName {
  readonly tag: string;
  /** The whole reference, with that tag; without one, docker has no name for the image. */
  readonly reference?: string;
}

/**
 * The archive that holds an image, as a content: nothing is read before it is opened, and no blob is
 * copied before that. It is an OCI layout; with `docker` it also has the `manifest.json` that
 * dockerd reads, which is why `docker load`, podman, containerd and skopeo all take it.
 *
 * One that is saved since an earlier image is without the layers that this has, and says so; see
 * docs/formats.md#delta. Whoever takes it has to have them.
 *
 * Throws UNSUPPORTED where `docker` is asked for an image of several platforms, and NOT_FOUND where
 * a part is missing.
 */
export async function imageArchive(
  source: RegistryReader,
  repository: string,
  root: Manifest,
  name: ArchivedName,
  format: 'oci' | 'docker',
  since?: Earlier,
): Promise<Content> {
  const blobs = new Map<Digest, Content>();
  const what = name.reference ?? name.tag;
  const leftOut = layersOf(since?.manifests ?? []);
  await collect(root);
  for (const { digest, bytes: body } of since?.manifests ?? []) blobs.set(digest, bytes(body));
  const annotations = { ...nameAnnotations(name), ...sinceAnnotations(since) };
  const named = { ...describe(root), annotations };
  const files: Record<string, string> = { ...ociLayoutFiles([named]) };
  if (format === 'docker') files['manifest.json'] = dockerManifest(root, name);
  return tarball([
    ...directories([
      'blobs',
      ...new Set([...blobs.keys()].map((digest) => `blobs/${algorithm(digest)}`)),
    ]),
    ...[...blobs].map(([digest, content]) => fileEntry(ociBlobPath(digest), content)),
    ...Object.entries(files).map(([path, text]) => fileEntry(path, bytes(text))),
  ]);

  async function collect(manifest: Manifest): Promise<void> {
    blobs.set(manifest.digest, bytes(manifest.bytes));
    if (manifest.kind === 'image') {
      for (const blob of blobsOf(manifest)) {
        const isThere = leftOut.has(blob.digest) && blob.digest !== manifest.config.digest;
        if (!isThere) await collectBlob(blob);
      }
      return;
    }
    for (const child of manifest.manifests) {
      const found = await source.manifest(repository, child.digest);
      if (!found) throw missing('manifest', child.digest);
      await collect(found);
    }
  }

  async function collectBlob({ digest, size }: Descriptor): Promise<void> {
    const found = await source.blob(repository, digest, size);
    if (!found) throw missing('blob', digest);
    if (found.size !== size) {
      throw sizeMismatch(`blob of ${what}`, digest, size, found.size);
    }
    blobs.set(digest, verified(found, digest, `blob of ${what}`));
  }

  function missing(part: string, digest: Digest): OciError {
    return new OciError('NOT_FOUND', `${what}: the source has no ${part} ${digest}`);
  }
}

/** Both names by which tools look for an image in a layout. */
function nameAnnotations({ tag, reference }: ArchivedName): Readonly<Record<string, string>> {
  return { [refName]: tag, ...(reference !== undefined && { [containerdName]: reference }) };
}

function dockerManifest(root: Manifest, { tag, reference }: ArchivedName): string {
  if (root.kind === 'index') {
    throw new OciError(
      'UNSUPPORTED',
      `${reference ?? tag} has several platforms, a docker archive has one`,
      {
        hint: 'Choose one with --platform, or save it as oci-archive:.',
      },
    );
  }
  const image: ImageManifest = root;
  return JSON.stringify([
    {
      Config: ociBlobPath(image.config.digest),
      RepoTags: reference === undefined ? [] : [reference],
      Layers: image.layers.map((layer) => ociBlobPath(layer.digest)),
    },
  ]);
}

function fileEntry(path: string, content: Content): TarEntry {
  return { type: 'file', path, mode: 0o644, content };
}

function directories(paths: readonly string[]): readonly TarEntry[] {
  return paths.map((path) => ({ type: 'directory', path, mode: 0o755 }));
}

function algorithm(digest: Digest): string {
  return digest.slice(0, digest.indexOf(':'));
}
