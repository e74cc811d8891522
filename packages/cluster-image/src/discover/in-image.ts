import { posix } from 'node:path';
import { codeOf, OciError, type Tree, type TreeEntry } from '@cluster-image/oci';
import PQueue from 'p-queue';
import { applicationsDirectory } from '../assemble/applications.ts';
import { followed } from '../follow.ts';
import { findChartCommands } from './chart-commands.ts';
import { plainRendering, type SetValue, usualRenderings } from './chart-renderings.ts';
import { openArchive } from './chart-tree.ts';
import { type FindInCharts, findInChartAt } from './charts.ts';
import { type CopiedFiles, type CopyOptions, copiedFiles } from './copied-files.ts';
import { type Findings, merge, nothing, type Origin, type Suspect } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { findIn } from './find-files.ts';
import { findInList } from './lists.ts';

/** Packed charts are small; whatever is larger than this is another archive. In bytes. */
const packedLimit = 16 * 1024 * 1024;

/** How many files are read, and charts rendered, at a time. */
const filesAtOnce = 4;

/** Files that are documents, wherever manifests are. */
export const manifestNames = /\.(?:ya?ml|json|tmpl)$/i;

/** A list of images among manifests, as sealer has it. */
export const manifestList = 'manifests/imageList';

export interface FindInImage extends CopyOptions {
  readonly charts: FindInCharts;
  /** Files of the context that are parts of kustomizations, and no manifests by themselves. */
  readonly covered: ReadonlySet<string>;
}

/**
 * The images of what the build file copies to where sealer looks for them: below `charts/` and
 * `manifests/` of the image, and in its applications. What the context has at these places itself is
 * known already.
 *
 * @param tree the context
 */
export async function findInImage(
  tree: Tree,
  { charts, covered, ...options }: FindInImage,
): Promise<Findings> {
  const found: Findings[] = [];
  for (const copied of await copiedFiles(tree, options)) {
    found.push(await findInCopied(tree, copied, charts, covered));
  }
  return merge(found);
}

async function findInCopied(
  tree: Tree,
  copied: CopiedFiles,
  options: FindInCharts,
  covered: ReadonlySet<string>,
): Promise<Findings> {
  const files: TreeEntry[] = [];
  for await (const entry of copied.tree.entries()) {
    if (entry.type !== 'directory') files.push(entry);
  }
  const known = new Map(chartsAmong(files).map((path) => [path, undefined] as const));
  const installed = await findChartCommands(copied.tree, copied.commands, known);
  const charts = [...known.keys(), ...installed.renderings.keys()].filter(isDirectory);
  const queue = new PQueue({ concurrency: filesAtOnce });
  const found = [...new Set(charts)].map((path) => queue.add(() => inChart(path)));
  for (const entry of files) {
    if (charts.some((chart) => entry.path.startsWith(`${chart}/`))) continue;
    found.push(queue.add(() => inFile(entry)));
  }
  const doubts = await Promise.all(installed.suspects.map(inContext));
  return merge([...(await Promise.all(found)), { ...nothing, suspects: doubts }]);

  function isDirectory(path: string): boolean {
    return !files.some((file) => file.path === path);
  }

  async function inFile(entry: TreeEntry): Promise<Findings> {
    const { path } = entry;
    const application = applicationOf(path);
    const origin = await originOf(path);
    if (/\.(?:tgz|tar\.gz)$/.test(path)) {
      const isOne =
        /^charts\/[^/]+$/.test(path) ||
        installed.renderings.has(path) ||
        (application && (await isPackedChart(entry)));
      return isOne ? render(path, origin, []) : nothing;
    }
    const isList = path === manifestList;
    const isDocument = manifestNames.test(path) && (application || path.startsWith('manifests/'));
    if (!isList && !isDocument) return nothing;
    // The context is searched there anyway.
    const isKnown = origin.startsWith('manifests/') && (origin === manifestList || isDocument);
    if ((isKnown && !application) || covered.has(origin)) return nothing;
    const { rules } = options;
    const found = await findIn(copied.tree, entry, (text, file) =>
      isList
        ? findInList(text, file)
        : findInDocuments(text, file, {
            template: /\.tmpl$/i.test(path),
            ...(rules && { rules }),
          }),
    );
    return withOrigins(found, (seen) => ({
      ...seen,
      file: origin,
      ...(application !== undefined && { application }),
    }));
  }

  /** A chart is rendered where it lies in the context, with the values that are laid over its own. */
  async function inChart(path: string): Promise<Findings> {
    const description = await originOf(`${path}/Chart.yaml`);
    const chart = posix.dirname(description);
    if (posix.basename(description) !== 'Chart.yaml' || chart === '.') {
      const reason = 'a chart that is put together in the image, and cannot be rendered before';
      const origin = { file: description };
      return { ...nothing, unresolved: [{ text: '', reason, origin }] };
    }
    const values = await originOf(`${path}/values.yaml`);
    const isItsOwn = values === `${chart}/values.yaml` || !(await followed(tree, values));
    return render(path, chart, isItsOwn ? [] : [values]);
  }

  /**
   * @param path where the chart is in the image
   * @param chart where it is in the context
   * @param values what is laid over its own values
   */
  async function render(path: string, chart: string, values: readonly string[]): Promise<Findings> {
    const application = applicationOf(path) ?? applicationOf(`${path}/`);
    const commands = installed.renderings.get(path);
    const isKnown = /^charts\/[^/]+$/.test(chart) && application === undefined && !commands;
    if (isKnown) return nothing;
    const release = application ?? plainRendering.release;
    const usual = await Promise.all(
      usualRenderings(undefined, commands ?? [{ ...plainRendering, release }]).map(
        async (rendering) => ({
          ...rendering,
          values: [...values, ...(await Promise.all(rendering.values.map(originOf)))],
          set: await Promise.all(rendering.set.map(setInContext)),
        }),
      ),
    );
    const found = await findInChartAt(tree, chart, { ...options, usual });
    return application === undefined
      ? found
      : withOrigins(found, (seen) => ({ ...seen, application }));
  }

  async function setInContext(value: SetValue): Promise<SetValue> {
    const [, key, path = ''] = /^([^=]+)=(.*)$/s.exec(value.text) ?? [];
    if (value.how !== 'set-file' || key === undefined) return value;
    return { ...value, text: `${key}=${await originOf(path)}` };
  }

  /** What is said of commands, which may be those of a script. */
  async function inContext(suspect: Suspect): Promise<Suspect> {
    const origins = suspect.origins.map(async (origin) => ({
      ...origin,
      file: await originOf(origin.file),
    }));
    return { ...suspect, origins: await Promise.all(origins) };
  }

  /** The file of the context that is at a path of the image, through links. */
  async function originOf(path: string): Promise<string> {
    const file = await followed(copied.tree, path);
    return (file && copied.originOf(file.path)) ?? path;
  }
}

/** The directories of charts, outermost only. */
function chartsAmong(files: readonly TreeEntry[]): readonly string[] {
  const all = files.flatMap(({ path }) => {
    const isOne = posix.basename(path) === 'Chart.yaml';
    return isOne && (path.startsWith('charts/') || applicationOf(path))
      ? [posix.dirname(path)]
      : [];
  });
  return all.filter((path) => !all.some((other) => path.startsWith(`${other}/`)));
}

/** The application whose directory a path of the image is in. */
function applicationOf(path: string): string | undefined {
  const inside = path.startsWith(`${applicationsDirectory}/`);
  const [name, ...rest] = inside ? path.slice(applicationsDirectory.length + 1).split('/') : [];
  return rest.length > 0 ? name : undefined;
}

async function isPackedChart(entry: TreeEntry): Promise<boolean> {
  if (entry.type !== 'file' || entry.content.size > packedLimit) return false;
  try {
    const chart = await openArchive(entry.content, entry.path);
    return (await chart.entry('Chart.yaml')) !== undefined;
  } catch (error) {
    const isArchive = codeOf(error) !== 'ARCHIVE_INVALID' && codeOf(error) !== 'INPUT_INVALID';
    if (isArchive || !(error instanceof OciError)) throw error;
    return false;
  }
}

function withOrigins(
  { images, suspects, unresolved }: Findings,
  change: (origin: Origin) => Origin,
): Findings {
  return {
    images: images.map((found) => ({ ...found, origins: found.origins.map(change) })),
    suspects: suspects.map((found) => ({ ...found, origins: found.origins.map(change) })),
    unresolved: unresolved.map((found) => ({ ...found, origin: change(found.origin) })),
  };
}
