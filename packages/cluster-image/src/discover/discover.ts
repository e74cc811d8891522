import type { Tree } from '@cluster-image/oci';
import { followed } from '../follow.ts';
import { findBases } from '../kubefile/bases.ts';
import { findInCharts, type RenderChart } from './charts.ts';
import { decisions } from './decisions.ts';
import { type Discovery, merge, nothing } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { findBelow, findIn, findInFiles, textOf } from './find-files.ts';
import { findInArchiveList, linesOf } from './lists.ts';
import { searchRules } from './search-rules.ts';
import type { DiscoverSettings } from './settings.ts';
import { belowImages, findBelowImages, toolLists } from './tool-lists.ts';

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

/** The lines of `.sealignore`. */
async function ignoredTexts(tree: Tree): Promise<readonly string[]> {
  const entry = await followed(tree, '.sealignore');
  return linesOf((entry && (await textOf(entry))) ?? '').map(({ text }) => text);
}
