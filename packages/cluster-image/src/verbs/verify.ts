import {
  blobsOf,
  type Context,
  codeOf,
  type Descriptor,
  type Digest,
  isDamage,
  isForeign,
  type Manifest,
  OciError,
  type Repository,
  verified,
} from '@cluster-image/oci';
import { type LayoutReport, type Problem, verifyLayout } from '@cluster-image/storage';
import { z } from 'zod';
import { manifestOf, openImage } from '../images.ts';
import { parseLocation } from '../location.ts';
import { openDirectory } from '../registries.ts';
import { formatSize } from '../sizes.ts';
import { commonOptions, withWorkspace } from '../workspace.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  location: z
    .string()
    .optional()
    .describe('Location of an image, or registry:DIR; without one the content store'),
});

interface Verified extends LayoutReport {
  readonly location: string;
}

export const verifyVerb: Verb<typeof options, Verified> = {
  name: 'verify',
  summary: 'Read and hash all of an image, a registry directory or the content store',
  positional: ['location'],
  options,
  run: (given, environment, context) =>
    withWorkspace(environment, given, context, '.', async (workspace) => {
      const { store } = workspace;
      if (given.location === undefined) {
        return { location: store.root, ...(await verifyLayout(store.registry, { sparse: true })) };
      }
      const location = parseLocation(given.location);
      if (location.kind === 'registry') {
        const layout = await openDirectory(given.location, workspace);
        return { location: given.location, ...(await verifyLayout(layout, { sparse: false })) };
      }
      const image = await openImage(location, workspace);
      const root = await manifestOf(image);
      return { location: given.location, ...(await verifyImage(image, root, workspace.context)) };
    }),
  lines: ({ location, repositories, manifests, blobs, bytes, problems }) => [
    ...problems.map(({ path, why }) => `${path} ${why}`),
    `${location}: ${problems.length === 0 ? 'sound' : `${problems.length} problems`}; ${repositories} repositories, ${manifests} manifests, ${blobs} blobs, ${formatSize(bytes)} read`,
  ],
  failed: ({ problems }) => problems.length > 0,
  failure: 'DIGEST_MISMATCH',
};

/** Reads every part of one image, wherever it is. */
async function verifyImage(
  { registry, repository }: Repository,
  root: Manifest,
  context: Context,
): Promise<LayoutReport> {
  const problems: Problem[] = [];
  const seen = new Set<Digest>();
  let manifests = 0;
  let bytes = 0;
  await visit(root);
  const blobs = seen.size;
  return { repositories: 1, manifests, blobs, bytes, problems };

  async function visit(manifest: Manifest): Promise<void> {
    manifests += 1;
    if (manifest.kind === 'image') {
      const parts = blobsOf(manifest).filter((blob) => !isForeign(blob) && !seen.has(blob.digest));
      for (const { digest } of parts) seen.add(digest);
      await Promise.all(parts.map((part) => context.transfer(() => read(part))));
      return;
    }
    for (const { digest } of manifest.manifests) {
      const found = await noted(digest, () => registry.manifest(repository, digest));
      if (found) await visit(found);
    }
  }

  async function read({ digest, size }: Descriptor): Promise<void> {
    await noted(digest, async () => {
      const content = await registry.blob(repository, digest, size);
      if (!content) return undefined;
      for await (const chunk of verified(content, digest, 'blob').open()) bytes += chunk.length;
      return content;
    });
  }

  /** What is found, or nothing, with a note of what is wrong with it. */
  async function noted<T>(digest: Digest, find: () => Promise<T | undefined>) {
    try {
      const found = await find();
      if (found === undefined) problems.push({ path: digest, why: 'is missing' });
      return found;
    } catch (error) {
      // That a registry cannot be reached says nothing of the image.
      const isFault = isDamage(error) || codeOf(error) === 'NOT_FOUND';
      if (!isFault || !(error instanceof OciError)) throw error;
      problems.push({ path: digest, why: error.message });
      return undefined;
    }
  }
}
