import {
  bytes,
  type Digest,
  formatReference,
  type Manifest,
  OciError,
  parseReference,
  type Reference,
} from '@cluster-image/oci';
import {
  type BlobSource,
  saveFile,
  soleRepository,
  type VirtualImage,
  virtualRegistry,
  writeThinImage,
} from '@cluster-image/storage';
import { z } from 'zod';
import { formatCount } from '../counts.ts';
import { deliver, type LocatedImage } from '../images.ts';
import type { Target } from '../location.ts';
import { formatSize } from '../sizes.ts';
import type { Workspace } from '../workspace.ts';

/** Where an image goes that a verb has made. */
export const outcomeOptions = z.object({
  tag: z.string().optional().describe('Name of the image, NAME[:TAG]'),
  output: z.array(z.string()).default([]).describe('Locations to deliver the image to at once'),
  thin: z
    .string()
    .optional()
    .describe('Directory for a thin copy of the image (manifests and plans, no layers)'),
  digestFile: z.string().optional().describe('File to write the digest to'),
});

export const outcomeShort = { t: 'tag', o: 'output' } as const;

/** An image that a verb has made. */
export interface Outcome {
  readonly name: string;
  readonly digest: Digest;
  /** All layers and configs, in bytes. */
  readonly size: number;
  readonly layers: number;
  readonly locations: readonly string[];
}

/** An image that is made, and is to go somewhere. */
export interface Making {
  readonly image: VirtualImage;
  /** What its layers are made of. */
  readonly sources: BlobSource;
  readonly reference: Reference;
  readonly targets: readonly Target[];
  /** Whether the store has it. */
  readonly isStored: boolean;
  readonly mountFrom?: LocatedImage['mountFrom'];
}

/** Brings an image to where it was asked for, its digest last. */
export async function handOver(
  { image, sources, reference, targets, isStored, mountFrom }: Making,
  { thin, digestFile, output }: z.infer<typeof outcomeOptions>,
  workspace: Workspace,
): Promise<Outcome> {
  const name = formatReference(reference);
  const { digest } = image.root;
  if (thin !== undefined) await writeThinImage(workspace.path(thin), image);
  const located = {
    registry: virtualRegistry(image, sources),
    repository: soleRepository,
    reference: digest,
    name,
    ...(mountFrom && { mountFrom }),
  };
  for (const target of targets) await deliver(located, target, workspace);
  if (digestFile !== undefined) {
    await saveFile(workspace.path(digestFile), bytes(`${digest}\n`));
  }
  return {
    name,
    digest,
    ...sizeOf([...image.manifests.values()]),
    locations: [
      ...(isStored ? [name] : []),
      ...(thin === undefined ? [] : [`oci:${thin}`]),
      ...output,
    ],
  };
}

/**
 * An outcome for people.
 *
 * @param made what was done with it, in one word
 * @param rest what else there is to say of what it consists of
 */
export function outcomeLines(
  made: string,
  { name, digest, size, layers, locations }: Outcome,
  rest: string,
): readonly string[] {
  return [
    `${made} ${name}`,
    `  digest  ${digest}`,
    `  size    ${formatSize(size)} in ${formatCount(layers, 'layer')}, ${rest}`,
    ...locations.map((location, at) => `  ${at === 0 ? 'at     ' : '       '} ${location}`),
  ];
}

/** The name that was given, or that of the first registry it is delivered to. */
export function imageName(tag: string | undefined, targets: readonly Target[]): Reference {
  const target = targets.find((location) => location.kind === 'docker');
  if (tag === undefined && target?.kind === 'docker') return target.reference;
  if (tag === undefined) {
    throw new OciError('USAGE', 'the image needs a name', {
      hint: 'Give it one with --tag NAME[:TAG].',
    });
  }
  const reference = parseReference(tag);
  if (!reference.digest) return reference;
  throw new OciError('USAGE', `--tag ${tag}: the digest of what is built is not known before`);
}

/** What an image weighs: each part once, in however many platforms it is. */
export function sizeOf(manifests: readonly Manifest[]): { size: number; layers: number } {
  const parts = new Map<Digest, number>();
  let layers = 0;
  for (const manifest of manifests) {
    if (manifest.kind !== 'image') continue;
    layers = Math.max(layers, manifest.layers.length);
    for (const { digest, size } of [manifest.config, ...manifest.layers]) parts.set(digest, size);
  }
  return { size: [...parts.values()].reduce((sum, size) => sum + size, 0), layers };
}
