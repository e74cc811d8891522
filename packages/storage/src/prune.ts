import { type Context, compareBytes, OciError } from '@cluster-image/oci';
import { type Contents, contentsOf } from './contents.ts';
import { type Disk, stagingName } from './disk.ts';
import { layoutPaths } from './distribution-paths.ts';
import { ifExists, onDisk } from './file-system.ts';
import { below, type Entry, entryAt, inventory, pathOf } from './inventory.ts';
import { isGone } from './process-mark.ts';
import { type Reach, reach } from './reach.ts';
import { renderingsName } from './renderings.ts';
import { type Root, rootsOf } from './root-list.ts';
import { rootsName } from './roots.ts';
import { parseStageName } from './stage-name.ts';
import { sweep } from './sweep.ts';
import { type Uses, usesName } from './uses.ts';
import type { Problem } from './verify-layout.ts';

export interface PruneOptions {
  /** What was stored or used in this time stays, whatever else is said; in milliseconds. */
  readonly grace: number;
  /** Roots that were not used for so long are let go of; in milliseconds. */
  readonly unusedFor?: number | undefined;
  /** Roots least recently used are let go of until the store takes no more; in bytes. */
  readonly limit?: number | undefined;
  /** Removes nothing, and tells what would be. */
  readonly isDry?: boolean;
}

export interface Pruned {
  /** What the disk has more room for, in bytes, as `du` counts. */
  readonly freed: number;
  /** What the store takes then, in bytes. */
  readonly size: number;
  readonly blobs: number;
  /** Names and lockfiles that the store does not hold on to any more. */
  readonly released: readonly string[];
  /** What is damaged, and was passed over. */
  readonly problems: readonly Problem[];
}

/**
 * Removes from a store what can be reached from no root and is older than the grace period. Roots are
 * the images that have a name here, and what lockfiles pin. Links go before what they lead to, each
 * step durable before the next, so that the store is sound at any moment.
 *
 * Throws CONFLICT where others are at work with the store and stay at it.
 */
export async function prune(
  disk: Disk,
  uses: Uses,
  options: PruneOptions,
  context: Context,
): Promise<Pruned> {
  const { fs, root } = disk;
  const isThere = await onDisk(fs, root, () => ifExists(fs.stat(root)));
  if (!isThere) return { freed: 0, size: 0, blobs: 0, released: [], problems: [] };
  if (!isThere.isDirectory()) throw new OciError('FILE_SYSTEM', `${root} is not a directory`);
  if (options.isDry) return pruneAlone(disk, options, context);
  const use = await uses.alone(context);
  try {
    return await pruneAlone(disk, options, context);
  } finally {
    await use.end();
  }
}

async function pruneAlone(disk: Disk, options: PruneOptions, context: Context): Promise<Pruned> {
  const { grace, isDry = false } = options;
  const top = await inventory(disk.fs, disk.root);
  // The marks of those at work come and go.
  top.entries.delete(usesName);
  const contents = contentsOf(top);
  const problems: Problem[] = [];
  const kept = reach(contents, disk, (problem) => problems.push(problem));
  const now = Date.now();
  const isYoung = (changed: number): boolean => now - changed < grace;
  keepForeign(top, contents, kept);
  await keepYoung(contents, kept, isYoung);
  const roots = await rootsOf(contents, kept, disk, (file, why) => {
    problems.push({ path: pathOf(file), why });
    if (isYoung(file.changed)) kept.keep(file);
  });
  const released = await settle(roots, kept, isYoung, now, options);
  const total = [...below(top)].reduce((sum, { bytes }) => sum + bytes, 0);
  const goes = (entries: Iterable<Entry>): readonly Entry[] =>
    [...entries].filter((entry) => !kept.isKept(entry));
  const blobs = goes(contents.blobs.values());
  const removal = sweep(disk, kept.isKept, context, isDry);
  const steps = stepsOf(contents).map(goes);
  for (const files of [...steps, blobs]) await removal.remove(files);
  for (const name of ownNames) await removal.tidy(entryAt(top, name));
  return {
    freed: removal.freed(),
    size: total - removal.removed(),
    blobs: blobs.length,
    released,
    problems,
  };
}

/** Directories in which those are the store's that have nothing in them. */
const ownNames = [
  layoutPaths.blobs,
  layoutPaths.repositories,
  'images',
  'layers',
  'unpacked',
  renderingsName,
  rootsName,
  stagingName,
];

/** Everything of the store but its blobs, in the order in which it may go. */
function stepsOf({
  repositories,
  images,
  roots,
  memos,
  notes,
  renderings,
  staged,
}: Contents): readonly (readonly Entry[])[] {
  const stored = [...repositories.values()];
  const tags = stored.flatMap((repository) => [...repository.tags.values()]);
  const built = [...images.values()];
  return [
    [
      ...notes.values(),
      ...tags.map(({ current }) => current),
      ...built.map(({ index }) => index),
    ].filter((entry) => entry !== undefined),
    tags.flatMap(({ index }) => [...index.values()]),
    stored.flatMap(({ revisions }) => [...revisions.values()]),
    stored.flatMap(({ layers }) => [...layers.values()]),
    [
      ...built.flatMap(({ index, files }) => files.filter((file) => file !== index)),
      ...roots,
      ...memos.values(),
      ...renderings.values(),
      ...staged,
    ],
  ];
}

/** Keeps what is not the store's, whatever it is and however it came there. */
function keepForeign(top: Entry, contents: Contents, kept: Reach): void {
  const known = new Set([...stepsOf(contents).flat(), ...contents.blobs.values()]);
  kept.keep(top);
  for (const entry of below(top)) {
    if (!entry.isDirectory && !known.has(entry)) kept.keep(entry);
  }
  for (const [name, entry] of top.entries) {
    const isOwn = ownNames.some((own) => own.split('/')[0] === name);
    if (!isOwn) for (const inner of below(entry)) kept.keep(inner);
  }
}

/** Keeps what is younger than the grace period, with all it needs: somebody may go on with it. */
async function keepYoung(
  { blobs, repositories, images, memos, renderings, staged }: Contents,
  kept: Reach,
  isYoung: (changed: number) => boolean,
): Promise<void> {
  const young = (entries: Iterable<Entry>): readonly Entry[] =>
    [...entries].filter(({ changed }) => isYoung(changed));
  const single = [...blobs.values(), ...memos.values(), ...renderings.values(), ...staged];
  for (const entry of young(single)) kept.keep(entry);
  for (const entry of staged) if (isAtWork(entry)) kept.keep(entry);
  for (const { index, files } of images.values()) {
    if (!index) for (const file of young(files)) kept.keep(file);
  }
  for (const [name, repository] of repositories) {
    for (const [digest, { changed }] of repository.layers) {
      if (isYoung(changed)) kept.keepLayer(repository, digest);
    }
    for (const [digest, { changed }] of repository.revisions) {
      if (isYoung(changed)) await kept.keepManifest(name, digest);
    }
    for (const tag of repository.tags.values()) {
      if (tag.current && isYoung(tag.current.changed)) await kept.keepTag(name, tag);
      for (const [digest, link] of tag.index) {
        if (!isYoung(link.changed)) continue;
        kept.keep(link);
        await kept.keepManifest(name, digest);
      }
    }
  }
}

function isAtWork({ name }: Entry): boolean {
  const mark = parseStageName(name)?.mark;
  return mark !== undefined && !isGone(mark);
}

/** Keeps roots, those used last first, as long as there is reason and room; tells which are let go of. */
async function settle(
  roots: readonly Root[],
  kept: Reach,
  isYoung: (changed: number) => boolean,
  now: number,
  { unusedFor = Number.POSITIVE_INFINITY, limit = Number.POSITIVE_INFINITY }: PruneOptions,
): Promise<readonly string[]> {
  const held = new Set<string>();
  const released = new Set<string>();
  let isFull = false;
  for (const root of [...roots].sort((a, b) => b.usedAt - a.usedAt)) {
    const { name, usedAt, isStale, keep } = root;
    const isDue = isStale || isFull || now - usedAt >= unusedFor;
    if (isYoung(usedAt)) await keep();
    else if (!isDue) isFull = !(await kept.ifFits(limit, keep));
    const isHeld = isYoung(usedAt) || !(isDue || isFull);
    (isHeld ? held : released).add(name);
  }
  return [...released].filter((name) => !held.has(name)).sort(compareBytes);
}
