import { posix } from 'node:path';
import type { CreateNodes, CreateNodesResultArray } from '@nx/devkit';
import { clusterTargets, type Tools } from './inference/cluster-targets.ts';
import { sketch } from './inference/dockerfile.ts';
import { imageTargets } from './inference/image-targets.ts';
import { type PluginOptions, type TargetNames, withDefaults } from './inference/options.ts';
import { amongBases, type Producer } from './inference/producer-tasks.ts';
import { projectRootOf, type WorkspaceImage, workspaceImages } from './inference/producers.ts';
import { type ReadText, reader } from './inference/read.ts';
import { saidImage, saidPlatforms } from './inference/said-image.ts';
import { releaseOf, type Targets } from './inference/targets.ts';

const clusterFiles = ['Sealfile', 'Kubefile'];
const imageFiles = ['Dockerfile', 'Containerfile'];
const projectFiles = ['project.json', 'package.json'];
const configurationName = 'cluster-image.json';

/**
 * Gives every project with a Kubefile or Sealfile the targets of a cluster image, and every other one
 * with a Dockerfile, or an image in its configuration, those of an image. Looks at names of files, and into no files but build files and
 * `cluster-image.json`; what is wrong with those is told by the tasks of their own projects.
 */
export const createNodes: CreateNodes<PluginOptions> = [
  '**/{Sealfile,Kubefile,Dockerfile,Containerfile,project.json,package.json,cluster-image.json,Chart.yaml,*.tgz,kustomization.yaml,kustomization.yml,Kustomization}',
  async (files, options, { workspaceRoot }) => {
    const workspace = look(files, reader(workspaceRoot), withDefaults(options));
    return Promise.all(
      [...buildFilesOf(workspace)].map(async ([root, file]) => {
        const targets = await targetsOf(root, posix.basename(file), workspace);
        const projects =
          Object.keys(targets).length === 0 ? {} : { [root]: project(root, targets, workspace) };
        return [file, { projects }] satisfies CreateNodesResultArray[number];
      }),
    );
  },
];

/** Nx 21 knows it by this name. */
export const createNodesV2 = createNodes;

function project(root: string, targets: Targets, { known, names }: Workspace) {
  const metadata = { targetGroups: { 'Cluster image': Object.keys(targets) } };
  const isPackage = known.has(posix.join(root, 'package.json'));
  if (isPackage || !(names.buildTargetName in targets)) return { targets, metadata };
  const released = releaseOf(root, names.buildTargetName);
  return { ...released, targets: { ...targets, ...released.targets }, metadata };
}

/** What there is in the workspace, by the names of its files. */
interface Workspace {
  readonly files: readonly string[];
  readonly known: ReadonlySet<string>;
  /** The projects that have charts, or kustomizations. */
  readonly charts: ReadonlySet<string>;
  readonly kustomizations: ReadonlySet<string>;
  readonly names: TargetNames;
  readonly read: ReadText;
}

function look(files: readonly string[], read: ReadText, names: TargetNames): Workspace {
  return {
    files: [...files].sort(),
    known: new Set(files),
    charts: new Set(files.flatMap(chartsOf)),
    kustomizations: new Set(files.flatMap(kustomizationsOf)),
    names,
    read,
  };
}

/** The project root that a chart belongs to, if the file is one directly below its `charts/`. */
function chartsOf(file: string): readonly string[] {
  const match = /^(?:(.+)\/)?charts\/(?:[^/]+\.tgz|[^/]+\/Chart\.yaml)$/.exec(file);
  return match ? [match[1] ?? '.'] : [];
}

/** The directories below whose `manifests/` a kustomization is. */
function kustomizationsOf(file: string): readonly string[] {
  if (!/^kustomization(?:\.ya?ml)?$/i.test(posix.basename(file))) return [];
  const parts = file.split('/');
  return parts.flatMap((part, at) =>
    part === 'manifests' && at < parts.length - 1 ? [parts.slice(0, at).join('/') || '.'] : [],
  );
}

/**
 * The build file of each project, by its root: of several the first is used, as the build does. Where
 * there is none, the configuration may say what the image is.
 */
function buildFilesOf({ files, known }: Workspace): ReadonlyMap<string, string> {
  const roots = new Map<string, string>();
  for (const name of [...clusterFiles, ...imageFiles, configurationName]) {
    for (const file of files) {
      const root = posix.dirname(file);
      if (posix.basename(file) !== name || roots.has(root)) continue;
      if (projectFiles.some((mark) => known.has(posix.join(root, mark)))) roots.set(root, file);
    }
  }
  return new Map([...roots].sort(([, a], [, b]) => (a < b ? -1 : 1)));
}

async function targetsOf(root: string, file: string, workspace: Workspace): Promise<Targets> {
  const { names, read } = workspace;
  const platforms = await platformsOf(root, workspace);
  const images = await imagesFor(root, workspace);
  if (clusterFiles.includes(file)) {
    const tools = await toolsOf(root, file, workspace);
    return clusterTargets(root, tools, producersOf(images, root, workspace), platforms, names);
  }
  const text = await read(posix.join(root, file));
  if (names.imageTargetName === false || text === undefined) return {};
  const build = file === configurationName ? saidImage(text) : sketch(text);
  if (!build) return {};
  const bases = producersOf(amongBases(images, build.bases), root, workspace);
  return imageTargets(root, file, build, bases, platforms, names);
}

/** The tasks of other projects that build images. */
function producersOf(
  images: readonly WorkspaceImage[],
  root: string,
  workspace: Workspace,
): readonly Producer[] {
  return images.flatMap((image) => {
    const producer = producerOf(image, workspace);
    return producer && producer.project !== `directory:${root}` ? [producer] : [];
  });
}

/** The platforms that the configuration of a context names, or else that of the workspace. */
async function platformsOf(root: string, workspace: Workspace): Promise<readonly string[]> {
  const own = saidPlatforms(await configurationAt(root, workspace));
  return own ?? saidPlatforms(await configurationAt('.', workspace)) ?? [];
}

async function configurationAt(
  root: string,
  { known, read }: Workspace,
): Promise<string | undefined> {
  const path = posix.join(root, configurationName);
  return known.has(path) ? read(path) : undefined;
}

/** What a context is read and built with; its configuration may name charts and kustomizations that lie elsewhere. */
async function toolsOf(root: string, file: string, workspace: Workspace): Promise<Tools> {
  const { known, charts, kustomizations, read } = workspace;
  const path = posix.join(root, configurationName);
  const text = known.has(path) ? ((await read(path)) ?? '"charts" "kustomize"') : '';
  return {
    helm: charts.has(root) || text.includes('"charts"'),
    kustomize: kustomizations.has(root) || text.includes('"kustomize"'),
    engine: sketch((await read(posix.join(root, file))) ?? '').needsEngine,
  };
}

/** The images of the workspace that a context knows of, by its own configuration and that of the workspace. */
async function imagesFor(root: string, workspace: Workspace): Promise<readonly WorkspaceImage[]> {
  const roots = root === '.' ? ['.'] : ['.', root];
  const found = roots.map(async (at) => workspaceImages(await configurationAt(at, workspace), at));
  return (await Promise.all(found)).flat();
}

/** Undefined where the configuration does not tell, as of an image in an engine whose project it does not name. */
function producerOf(image: WorkspaceImage, { known, names }: Workspace): Producer | undefined {
  const { path, project, target } = image;
  const has = (root: string, some: readonly string[]): boolean =>
    some.some((name) => known.has(posix.join(root, name)));
  const root = path && projectRootOf(path, (directory) => has(directory, projectFiles));
  const named = project ?? (root === undefined ? undefined : `directory:${root}`);
  if (named === undefined) return undefined;
  const isCluster = root !== undefined && has(root, clusterFiles);
  const usual = isCluster ? names.buildTargetName : names.imageTargetName;
  const built = target ?? usual;
  return built === false ? undefined : { ...image, project: named, target: built };
}
