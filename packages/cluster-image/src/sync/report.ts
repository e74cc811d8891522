import { type Digest, type ErrorCode, OciError } from '@cluster-image/oci';
import { formatCount } from '../counts.ts';
import { formatSize } from '../sizes.ts';

/** What became of one image, or of one manifest. */
export type Outcome = 'copied' | 'present' | 'skipped' | 'failed';

/** A manifest that is about an image, or about another one that is. */
export interface SyncedAbout {
  readonly subject: Digest;
  readonly digest: Digest;
  /** Where it goes by a tag, as cosign has it. */
  readonly tag?: string;
  readonly artifactType?: string;
  readonly state: 'copied' | 'present';
}

export interface SyncedImage {
  readonly repository: string;
  /** Missing where the tags of a repository could not be listed. */
  readonly tag?: string;
  /** What the tag names at the target. */
  readonly digest?: Digest;
  readonly state: Outcome;
  /** Of the blobs that moved for it, in bytes. */
  readonly bytes: number;
  /** Where that was asked for. */
  readonly about?: readonly SyncedAbout[];
  /** Why it was skipped or failed. */
  readonly reason?: string;
  readonly code?: ErrorCode;
  /** The next step. */
  readonly hint?: string;
}

export interface SyncReport {
  readonly images: readonly SyncedImage[];
  readonly counts: Readonly<Record<Outcome, number>>;
  /** What is about them, each manifest once. */
  readonly about: { readonly copied: number; readonly present: number };
  /** Of all blobs that moved, in bytes. */
  readonly bytes: number;
}

export function reportOn(images: readonly SyncedImage[]): SyncReport {
  const count = (state: Outcome): number => images.filter((image) => image.state === state).length;
  const counts = {
    copied: count('copied'),
    present: count('present'),
    skipped: count('skipped'),
    failed: count('failed'),
  };
  const about = new Map(
    images.flatMap(({ repository, about = [] }) =>
      about.map((one) => [`${repository}:${one.tag ?? ''}@${one.digest}`, one.state]),
    ),
  );
  const states = [...about.values()];
  return {
    images,
    counts,
    about: {
      copied: states.filter((state) => state === 'copied').length,
      present: states.filter((state) => state === 'present').length,
    },
    bytes: images.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** How an image is called, for people. */
export function nameOf({ repository, tag }: Pick<SyncedImage, 'repository' | 'tag'>): string {
  return tag === undefined ? repository : `${repository}:${tag}`;
}

/** Why something failed, as a report tells it. */
export function failed(error: unknown): Pick<SyncedImage, 'state' | 'reason' | 'code' | 'hint'> {
  const reason = error instanceof Error ? error.message : String(error);
  if (!(error instanceof OciError)) return { state: 'failed', reason };
  const { code, hint } = error;
  return { state: 'failed', reason, code, ...(hint !== undefined && { hint }) };
}

/** What a report says to people. */
export function reportLines({ images, counts, about, bytes }: SyncReport, to: string): string[] {
  const { copied, present, skipped, failed } = counts;
  const all = about.copied + about.present;
  return [
    ...images.flatMap((image) => {
      const { state, reason = '', hint } = image;
      if (state !== 'failed' && state !== 'skipped') return [];
      return [`${state} ${nameOf(image)}: ${reason}`, ...(hint ? [`  ${hint}`] : [])];
    }),
    `${formatCount(copied + present, 'image is', 'images are')} in ${to}: ${copied} copied, ${formatCount(present, 'was there', 'were there')}; ${formatSize(bytes)} moved`,
    ...(all > 0
      ? [
          `${formatCount(all, 'manifest')} about them: ${about.copied} copied, ${formatCount(about.present, 'was there', 'were there')}`,
        ]
      : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
    ...(failed > 0 ? [`${failed} failed; run it again, what is there is not brought again`] : []),
  ];
}
