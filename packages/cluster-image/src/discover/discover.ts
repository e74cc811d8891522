import { OciError, readAll, type Tree, type TreeEntry } from '@cluster-image/oci';
import PQueue from 'p-queue';
import { type FileEntry, followed } from '../follow.ts';
import { findBases } from '../kubefile/bases.ts';
import { findInCharts, type RenderChart } from './charts.ts';
import { decisions } from './decisions.ts';
import { type Discovery, type Findings, merge, nothing } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { findInArchiveList, linesOf } from './lists.ts';
import { searchRules } from './search-rules.ts';
import type { DiscoverSettings } from './settings.ts';
import { belowImages, findBelowImages, toolLists } from './tool-lists.ts';

/** The most that a manifest or list may hold, in bytes. */
const fileLimit = 16 * 1024 * 1024;

export interface DiscoverOptions {
  readonly render: RenderChart;
  readonly settings?: DiscoverSettings;
  /** Packed charts of the tree that are not in the context's directory: where they are, by their paths. */
  readonly charts?: ReadonlyMap<string, string>;
  /** The build file, where it is not the first of the usual names. */
  readonly file?: string;
  /** Values of `ARG` in the build file, as far as `FROM` uses them. */
  readonly buildArguments?: Readonly<Record<string, string>>;
}

/** How many files are read at a time. */
const filesAtOnce = 16;

/**
 * Every image that a context refers to, and where. Reads files only. The places are those of sealos:
 * `charts/`, `manifests/`, `images/shim/`, `images/skopeo/tar.txt`, less what `.sealignore` lists.
 */
export async function discover(tree: Tree, options: DiscoverOptions): Promise<Discovery> {
  const { settings = {} } = options;
  const rules = searchRules(settings.search);
  const [charts, manifests, lists, toolFiles, archives, bases, ignored] = await Promise.all([
    findInCharts(tree, {
      render: options.render,
      rules,
      settings: settings.charts,
      files: options.charts,
    }),
    findBelow(tree, 'manifests', /\.(?:ya?ml|json|tmpl)$/i, (text, file) =>
      findInDocuments(text, file, { template: /\.tmpl$/i.test(file), rules }),
    ),
    findBelow(tree, 'images', belowImages, findBelowImages(rules)),
    findInFiles(tree, toolLists, (text, file) => findInDocuments(text, file, { rules })),
    findIn(tree, await tree.entry('images/skopeo/tar.txt'), findInArchiveList),
    findBases(tree, options.buildArguments ?? {}, options.file),
    ignoredTexts(tree),
  ]);
  const decide = decisions(settings, ignored);
  return {
    ...decide(merge([charts, manifests, lists, toolFiles, archives])),
    bases: merge([{ ...nothing, images: bases }]).images,
  };
}

type Find = (text: string, file: string) => Findings;

async function findBelow(
  tree: Tree,
  directory: string,
  names: RegExp,
  find: Find,
): Promise<Findings> {
  const queue = new PQueue({ concurrency: filesAtOnce });
  const found: Promise<Findings>[] = [];
  for await (const entry of tree.entries(directory)) {
    if (names.test(entry.path)) found.push(queue.add(() => findIn(tree, entry, find)));
  }
  return merge(await Promise.all(found));
}

async function findInFiles(tree: Tree, paths: readonly string[], find: Find): Promise<Findings> {
  return merge(
    await Promise.all(paths.map(async (path) => findIn(tree, await tree.entry(path), find))),
  );
}

async function findIn(tree: Tree, entry: TreeEntry | undefined, find: Find): Promise<Findings> {
  if (!entry || entry.type === 'directory') return nothing;
  const { path } = entry;
  const file = entry.type === 'file' ? entry : await followed(tree, path);
  if (!file) return unreadable(path, 'a link to no file of the context');
  const text = await textOf(file);
  return text === undefined ? unreadable(path, 'neither UTF-8 nor UTF-16') : find(text, path);
}

function unreadable(file: string, reason: string): Findings {
  return { ...nothing, unresolved: [{ text: '', reason, origin: { file } }] };
}

/** The text of a file; undefined where it is none. */
async function textOf({ path, content }: FileEntry): Promise<string | undefined> {
  if (content.size > fileLimit) {
    throw new OciError('INPUT_INVALID', `${path} has over ${fileLimit} bytes`);
  }
  return decoded(await readAll(content, fileLimit));
}

function decoded(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes;
  const isWide = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  const encoding = !isWide ? 'utf-8' : first === 0xff ? 'utf-16le' : 'utf-16be';
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}

/** The lines of `.sealignore`. */
async function ignoredTexts(tree: Tree): Promise<readonly string[]> {
  const entry = await followed(tree, '.sealignore');
  return linesOf((entry && (await textOf(entry))) ?? '').map(({ text }) => text);
}
