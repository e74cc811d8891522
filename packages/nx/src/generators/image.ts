import { posix } from 'node:path';
import {
  formatFiles,
  readJson,
  readProjectConfiguration,
  type Tree,
  updateProjectConfiguration,
} from '@nx/devkit';
import type { z } from 'zod';
import { imageTargetIn } from '../image-executors.ts';
import { configurationName, imageFiles } from '../inference/workspace.ts';
import { addToConfiguration } from './add-chart.ts';
import init from './init.ts';
import { generatorOptions } from './options.ts';
import { targetNamesFor } from './target-names.ts';
import { writeNew } from './write-new.ts';

/** Files of a project that no image wants. */
const ignored = 'node_modules\ndist/image\ndist/image.*\n';

type Options = z.infer<typeof generatorOptions.image>;

/**
 * Gives a project an image that is built without an engine, and names it in the cluster images that are
 * to contain it. Files and entries that exist stay as they are. Throws where the plugin is told to leave
 * images alone.
 */
export default async function image(tree: Tree, given: unknown): Promise<void> {
  const options = generatorOptions.image.parse(given);
  const { project: name, tag, clusters } = options;
  const project = readProjectConfiguration(tree, name);
  await init(tree, { skipFormat: true });
  const target = imageTargetIn(project.targets ?? {}) ?? targetNameFor(tree, project.root, options);
  addImage(tree, project.root, options);
  if (tag !== undefined) {
    const { [target]: image, ...others } = project.targets ?? {};
    const own = { ...image, options: { ...image?.options, tag } };
    updateProjectConfiguration(tree, name, { ...project, targets: { ...others, [target]: own } });
  }
  for (const cluster of clusters) {
    if (tag === undefined) throw new Error('--clusters: charts refer to images by --tag');
    const { root } = readProjectConfiguration(tree, cluster);
    const place = posix.join(posix.relative(root, project.root), 'dist/image');
    addToConfiguration(tree, root, 'workspaceImages', {
      [tag.replace(/:[^:/]*$/, '')]: `oci:${place}`,
    });
  }
  if (!options.skipFormat) await formatFiles(tree);
}

/** What the plugin calls the target that builds it. Throws where the plugin leaves images alone. */
function targetNameFor(tree: Tree, root: string, { dockerfile }: Options): string {
  const found = imageFiles.find((file) => tree.exists(posix.join(root, file)));
  const wanted = dockerfile ? 'Dockerfile' : configurationName;
  const buildFile = posix.join(root, found ?? wanted);
  const { imageTargetName } = targetNamesFor(tree, buildFile);
  if (imageTargetName !== false) return imageTargetName;
  throw new Error(
    `nx.json: "imageTargetName": false gives ${buildFile} no target; name one in the options of the plugin`,
  );
}

/** Says what the image is, unless the project does already. */
function addImage(tree: Tree, root: string, options: Options): void {
  const configuration = posix.join(root, configurationName);
  const isSaid =
    imageFiles.some((file) => tree.exists(posix.join(root, file))) ||
    (tree.exists(configuration) && 'image' in readJson(tree, configuration));
  if (!isSaid && !options.dockerfile) addToConfiguration(tree, root, 'image', imageOf(options));
  if (!isSaid && options.dockerfile) writeNew(tree, root, { Dockerfile: dockerfile(options) });
  writeNew(tree, root, { '.dockerignore': ignored });
}

function imageOf({ base, files, entrypoint }: Options): Readonly<Record<string, unknown>> {
  return {
    from: base,
    workdir: '/app',
    files: Object.fromEntries(files.map((path) => [path, placeOf(path)])),
    ...(entrypoint.length > 0 && { entrypoint }),
  };
}

function dockerfile({ base, files, entrypoint }: Options): string {
  return [
    `FROM ${base}`,
    'WORKDIR /app',
    ...files.map((path) => `COPY ${path} ${placeOf(path)}`),
    ...(entrypoint.length > 0 ? [`ENTRYPOINT ${JSON.stringify(entrypoint)}`] : []),
    '',
  ].join('\n');
}

function placeOf(path: string): string {
  return `./${posix.basename(path)}`;
}
