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
import { type Delta, type LayoutReport, type Problem, verifyLayout } from '@cluster-image/storage';
import { z } from 'zod';
import { formatCount } from '../counts.ts';
import { type DeltaReport, deltaIn, deltaLines, reportOn } from '../deltas.ts';
import { givenLocation } from '../given-location.ts';
import { manifestOf, openImage } from '../images.ts';
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
  /** Of an image that was saved since another one. */
  readonly delta?: DeltaReport;
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
      const location = await givenLocation(given.location, workspace);
      if (location.kind === 'registry') {
        const layout = await openDirectory(given.location, workspace);
        return { location: given.location, ...(await verifyLayout(layout, { sparse: false })) };
      }
      const image = await openImage(location, workspace);
      const root = await manifestOf(image);
      const delta = await deltaIn(image);
      const report = await verifyImage(image, root, delta, workspace.context);
      return {
        location: given.location,
        ...report,
        ...(delta && { delta: await reportOn(delta, store) }),
      };
    }),
  lines: ({ location, repositories, manifests, blobs, bytes, problems, delta }) => [
    ...problems.map(({ path, why }) => `${path} ${why}`),
    `${location}: ${problems.length === 0 ? 'sound' : formatCount(problems.length, 'problem')}; ${formatCount(repositories, 'repository', 'repositories')}, ${formatCount(manifests, 'manifest')}, ${formatCount(blobs, 'blob')}, ${formatSize(bytes)} read`,
    ...(delta ? deltaLines(delta) : []),
  ],
  failed: ({ problems }) => problems.length > 0,
  failure: 'DIGEST_MISMATCH',
};

/** Reads every part of one image, wherever it is. What a delta left out is no part of it. */
async function verifyImage(
  { registry, repository }: Repository,
  root: Manifest,
  delta: Delta | undefined,
  context: Context,
): Promise<LayoutReport> {
  const problems: Problem[] = [];
  const leftOut = new Set(delta?.leftOut.map(({ digest }) => digest));
  const seen = new Set<Digest>();
  let manifests = 0;
  let bytes = 0;
  await visit(root);
  const blobs = seen.size;
  return { repositories: 1, manifests, blobs, bytes, problems };

  async function visit(manifest: Manifest): Promise<void> {
    manifests += 1;
    if (manifest.kind === 'image') {
      const parts = blobsOf(manifest).filter(
        (blob) => !isForeign(blob) && !leftOut.has(blob.digest) && !seen.has(blob.digest),
      );
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
