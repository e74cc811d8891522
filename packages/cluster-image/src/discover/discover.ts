import { type Platform, parsePlatform, type Tree, type TreeEntry } from '@cluster-image/oci';
import { findBases } from '../kubefile/bases.ts';
import { findCommands } from '../kubefile/commands.ts';
import { findInCharts, type RenderChart } from './charts.ts';
import { decisions } from './decisions.ts';
import { type Discovery, merge, nothing } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { entriesBelow, findAmong, findBelow, findInFiles } from './find-files.ts';
import { findInGivenLists, ignoredTexts } from './given-lists.ts';
import { findInImage } from './in-image.ts';
import { type BuildKustomization, findInKustomizations } from './kustomize.ts';
import { planKustomizations } from './kustomize-plan.ts';
import { findInArchiveList } from './lists.ts';
import { searchRules } from './search-rules.ts';
import type { DiscoverSettings } from './settings.ts';
import { belowImages, findInToolList, toolLists } from './tool-lists.ts';

/** What is built for unless anybody says otherwise. */
const usualPlatforms = [parsePlatform('linux/amd64')];

export interface DiscoverOptions {
  readonly render: RenderChart;
  readonly kustomize: BuildKustomization;
  readonly settings?: DiscoverSettings;
  /** Packed charts of the tree that are not in the context's directory: where they are, by their paths. */
  readonly charts?: ReadonlyMap<string, string>;
  /** Whether origins tell the line of what was rendered, and values. */
  readonly explain?: boolean | undefined;
  /** The build file, where it is not the first of the usual names. */
  readonly file?: string;
  /** Values of `ARG` in the build file, as far as `FROM` and `COPY` use them. */
  readonly buildArguments?: Readonly<Record<string, string>>;
  /** Those to build for, as far as what is copied depends on it; else linux/amd64. */
  readonly platforms?: readonly Platform[];
}

/**
 * Every image that a context refers to, and where. Reads files only. The places are those of sealos:
 * `charts/`, `manifests/`, `images/shim/`, `images/skopeo/tar.txt`, less what `.sealignore` lists; and
 * of sealer: its lists, and what the build file copies to its places in the image.
 */
export async function discover(tree: Tree, options: DiscoverOptions): Promise<Discovery> {
  const { settings = {}, buildArguments = {}, platforms = usualPlatforms } = options;
  const rules = searchRules(settings.search);
  const inManifests = await entriesBelow(tree, 'manifests');
  const plan = await planKustomizations(tree, inManifests, settings.kustomize);
  const isManifest = ({ path }: TreeEntry): boolean =>
    /\.(?:ya?ml|json|tmpl)$/i.test(path) && !plan.covered.has(path);
  const inCharts = {
    render: options.render,
    rules,
    settings: settings.charts,
    files: options.charts,
    commands: await findCommands(tree, buildArguments, options.file),
    explain: options.explain,
  };
  const [
    charts,
    manifests,
    kustomizations,
    lists,
    toolFiles,
    archives,
    bases,
    ignored,
    ...further
  ] = await Promise.all([
    findInCharts(tree, inCharts),
    findAmong(tree, inManifests.filter(isManifest), (text, file) =>
      findInDocuments(text, file, { template: /\.tmpl$/i.test(file), rules }),
    ),
    findInKustomizations(tree, plan, { build: options.kustomize, rules, explain: options.explain }),
    findBelow(tree, 'images', belowImages, findInToolList(settings.search)),
    findInFiles(tree, toolLists, findInToolList(settings.search)),
    findInFiles(tree, ['images/skopeo/tar.txt'], findInArchiveList),
    findBases(tree, buildArguments, options.file),
    ignoredTexts(tree, settings),
    findInGivenLists(tree, settings),
    findInImage(tree, {
      platforms,
      buildArguments,
      file: options.file,
      charts: inCharts,
      covered: plan.covered,
    }),
  ]);
  const decide = decisions(settings, ignored);
  return {
    ...decide(merge([charts, manifests, kustomizations, lists, toolFiles, archives, ...further])),
    bases: merge([{ ...nothing, images: bases }]).images,
  };
}
