import { posix } from 'node:path';
import type { CreateNodes, CreateNodesResultArray } from '@nx/devkit';
import { clusterTargets, type Tools } from './inference/cluster-targets.ts';
import { sketch, wholeBehindLinks } from './inference/dockerfile.ts';
import { namesFor } from './inference/entries.ts';
import { imageTargets } from './inference/image-targets.ts';
import { type PluginOptions, withDefaults } from './inference/options.ts';
import { producerOf } from './inference/producer-of.ts';
import { amongBases, type Producer, type Sources } from './inference/producer-tasks.ts';
import { type WorkspaceImage, workspaceImages } from './inference/producers.ts';
import { finder, isLinkIn, reader, remembered } from './inference/read.ts';
import { saidImage, saidPlatforms } from './inference/said-image.ts';
import { releaseOf, type Targets } from './inference/targets.ts';
import {
  buildFilesOf,
  clusterFiles,
  configurationAt,
  configurationName,
  look,
  type Workspace,
} from './inference/workspace.ts';

/**
 * Gives every project with a Kubefile or Sealfile the targets of a cluster image, and every other one
 * with a Dockerfile, or an image in its configuration, those of an image. Looks at names of files, and into
 * no files but build files, those of projects and `cluster-image.json`; what is wrong with these is told by
 * the tasks of their own projects.
 */
export const createNodes: CreateNodes<PluginOptions> = [
  '**/{Sealfile,Kubefile,Dockerfile,Containerfile,project.json,package.json,cluster-image.json,Chart.yaml,*.tgz,kustomization.yaml,kustomization.yml,Kustomization}',
  async (files, options, { workspaceRoot, nxJsonConfiguration }) => {
    const disk = {
      read: reader(workspaceRoot),
      has: finder(workspaceRoot),
      isLink: isLinkIn(workspaceRoot),
    };
    const names = withDefaults(options);
    const workspace = look(files, disk, names, (file) => namesFor(nxJsonConfiguration, file));
    const known = knownOf(workspace);
    return Promise.all(
      [...(await buildFilesOf(workspace))].map(async ([root, file]) => {
        const targets = await targetsOf(root, posix.basename(file), workspace, known);
        const projects =
          Object.keys(targets).length === 0 ? {} : { [root]: project(file, targets, workspace) };
        return [file, { projects }] satisfies CreateNodesResultArray[number];
      }),
    );
  },
];

/** Nx 21 knows it by this name. */
export const createNodesV2 = createNodes;

function project(file: string, targets: Targets, { has, names }: Workspace) {
  const root = posix.dirname(file);
  const metadata = { targetGroups: { 'Cluster image': Object.keys(targets) } };
  const isCluster = clusterFiles.includes(posix.basename(file));
  if (!isCluster || has(posix.join(root, 'package.json'))) return { targets, metadata };
  const released = releaseOf(root, names.buildTargetName);
  return { ...released, targets: { ...targets, ...released.targets }, metadata };
}

/** What many projects ask for, of the workspace's own configuration above all. */
interface Known {
  platformsAt(root: string): Promise<readonly string[] | undefined>;
  imagesAt(root: string): Promise<readonly WorkspaceImage[]>;
  producerOf(image: WorkspaceImage): Promise<Producer | undefined>;
}

function knownOf(workspace: Workspace): Known {
  return {
    platformsAt: remembered(async (root) => saidPlatforms(await configurationAt(root, workspace))),
    imagesAt: remembered(async (root) =>
      workspaceImages(await configurationAt(root, workspace), root),
    ),
    producerOf: remembered((image) => producerOf(image, workspace)),
  };
}

async function targetsOf(
  root: string,
  file: string,
  workspace: Workspace,
  known: Known,
): Promise<Targets> {
  const { names, read, isLink, parents } = workspace;
  const platforms = await platformsOf(root, known);
  const images = await imagesFor(root, known);
  // What is below other projects is not among the files of this one, and part of its image all the same.
  const place = {
    root,
    files: parents.has(root) ? posix.join('{workspaceRoot}', root) : '{projectRoot}',
  };
  if (clusterFiles.includes(file)) {
    const tools = await toolsOf(root, file, workspace);
    return clusterTargets(place, tools, await sourcesOf(images, root, known), platforms, names);
  }
  const text = await read(posix.join(root, file));
  if (names.imageTargetName === false || text === undefined) return {};
  const said = file === configurationName ? saidImage(text) : sketch(text);
  if (!said) return {};
  const build = wholeBehindLinks(said, (path) => isLink(posix.join(root, path)));
  const bases = await sourcesOf(amongBases(images, build.bases), root, known);
  return imageTargets(place, file, build, bases, platforms, names);
}

/** Where images come from: tasks of other projects, files that no task makes, or nobody knows. */
async function sourcesOf(
  images: readonly WorkspaceImage[],
  root: string,
  known: Known,
): Promise<Sources> {
  const found = await Promise.all(
    images.map(async (image) => [image, await known.producerOf(image)] as const),
  );
  const left = found.flatMap(([image, producer]) => (producer === undefined ? [image] : []));
  return {
    producers: found.flatMap(([, producer]): readonly Producer[] =>
      producer && producer.project !== `directory:${root}` ? [producer] : [],
    ),
    files: left.filter(({ path }) => path !== undefined),
    isKnown: left.every(({ path }) => path !== undefined),
  };
}

/** The platforms that the configuration of a context names, or else that of the workspace. */
async function platformsOf(root: string, { platformsAt }: Known): Promise<readonly string[]> {
  return (await platformsAt(root)) ?? (await platformsAt('.')) ?? [];
}

/** What a context is read and built with; its configuration may name charts and kustomizations that lie elsewhere. */
async function toolsOf(root: string, file: string, workspace: Workspace): Promise<Tools> {
  const { has, charts, kustomizations, read } = workspace;
  const path = posix.join(root, configurationName);
  const text = has(path) ? ((await read(path)) ?? '"charts" "kustomize"') : '';
  return {
    helm: charts.has(root) || text.includes('"charts"'),
    kustomize: kustomizations.has(root) || text.includes('"kustomize"'),
    engine: sketch((await read(posix.join(root, file))) ?? '').needsEngine,
  };
}

/** The images of the workspace that a context knows of, by its own configuration and that of the workspace. */
async function imagesFor(root: string, { imagesAt }: Known): Promise<readonly WorkspaceImage[]> {
  const roots = root === '.' ? ['.'] : ['.', root];
  return (await Promise.all(roots.map(imagesAt))).flat();
}
