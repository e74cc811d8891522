import {
  formatReference,
  OciError,
  parseReference,
  readAll,
  type Tree,
  type TreeEntry,
} from '@cluster-image/oci';
import { findBases } from '../kubefile/bases.ts';
import { findInCharts, type RenderChart } from './charts.ts';
import { type Discovery, type Findings, merge, nothing } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { findInArchiveList, findInList, linesOf } from './lists.ts';

/** The most that a manifest or list may hold, in bytes. */
const fileLimit = 16 * 1024 * 1024;

export interface DiscoverOptions {
  readonly render: RenderChart;
  /** The build file, where it is not the first of the usual names. */
  readonly file?: string;
  /** Values of `ARG` in the build file, as far as `FROM` uses them. */
  readonly buildArguments?: Readonly<Record<string, string>>;
}

/**
 * Every image that a context refers to, and where. Reads files only. The places are those of sealos:
 * `charts/`, `manifests/`, `images/shim/`, `images/skopeo/tar.txt`, less what `.sealignore` lists.
 */
export async function discover(tree: Tree, options: DiscoverOptions): Promise<Discovery> {
  const [charts, manifests, lists, archives, bases, ignored] = await Promise.all([
    findInCharts(tree, options.render),
    findBelow(tree, 'manifests', /\.(?:ya?ml|json|tmpl)$/i, (text, file) =>
      findInDocuments(text, file, { template: /\.tmpl$/i.test(file) }),
    ),
    findBelow(tree, 'images/shim', /./, findInList),
    tree.entry('images/skopeo/tar.txt').then((entry) => findIn(entry, findInArchiveList)),
    findBases(tree, options.buildArguments ?? {}, options.file),
    ignoredTexts(tree),
  ]);
  const found = merge([charts, manifests, lists, archives]);
  // What is listed as an archive is not filtered, as with sealos: it is there.
  const isIgnored = ignored.has.bind(ignored);
  return {
    images: found.images.filter(({ reference, archive }) => archive || !isIgnored(reference)),
    bases: merge([{ ...nothing, images: bases }]).images,
    suspects: found.suspects.filter(
      ({ text }) => !isIgnored(text) && !found.images.some(({ reference }) => reference === text),
    ),
    unresolved: found.unresolved.filter(({ text }) => !isIgnored(text)),
  };
}

type Find = (text: string, file: string) => Findings;

async function findBelow(
  tree: Tree,
  directory: string,
  names: RegExp,
  find: Find,
): Promise<Findings> {
  const found: Findings[] = [];
  for await (const entry of tree.entries(directory)) {
    if (names.test(entry.path)) found.push(await findIn(entry, find));
  }
  return merge(found);
}

async function findIn(entry: TreeEntry | undefined, find: Find): Promise<Findings> {
  return entry?.type === 'file' ? find(await textOf(entry), entry.path) : nothing;
}

async function textOf({ path, content }: TreeEntry & { type: 'file' }): Promise<string> {
  if (content.size > fileLimit) {
    throw new OciError('INPUT_INVALID', `${path} has over ${fileLimit} bytes`);
  }
  return new TextDecoder().decode(await readAll(content, fileLimit));
}

/** What `.sealignore` lists: references in any spelling, and texts that are no references, as they are. */
async function ignoredTexts(tree: Tree): Promise<ReadonlySet<string>> {
  const entry = await tree.entry('.sealignore');
  if (entry?.type !== 'file') return new Set();
  const lines = linesOf(await textOf(entry));
  return new Set(lines.flatMap(({ text }) => [text, normalized(text)]));
}

function normalized(text: string): string {
  try {
    return formatReference(parseReference(text));
  } catch {
    return text;
  }
}
