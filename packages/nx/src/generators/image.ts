import { posix } from 'node:path';
import {
  formatFiles,
  readProjectConfiguration,
  type Tree,
  updateProjectConfiguration,
} from '@nx/devkit';
import { addToConfiguration } from './add-chart.ts';
import init from './init.ts';
import { generatorOptions } from './options.ts';
import { writeNew } from './write-new.ts';

/** Files of a project that no image wants. */
const ignored = 'node_modules\ndist/image\ndist/image.digest\n';

/**
 * Gives a project a Dockerfile that is built without an engine, and names its image in the cluster images
 * that are to contain it. Files and entries that exist stay as they are.
 */
export default async function image(tree: Tree, given: unknown): Promise<void> {
  const options = generatorOptions.image.parse(given);
  const { project: name, tag, clusters } = options;
  const project = readProjectConfiguration(tree, name);
  await init(tree, { skipFormat: true });
  writeNew(tree, project.root, { Dockerfile: dockerfile(options), '.dockerignore': ignored });
  if (tag !== undefined) {
    const { image, ...others } = project.targets ?? {};
    const own = { ...image, options: { ...image?.options, tag } };
    updateProjectConfiguration(tree, name, { ...project, targets: { ...others, image: own } });
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

function dockerfile({
  base,
  files,
  entrypoint,
}: Readonly<Record<'base', string> & Record<'files' | 'entrypoint', readonly string[]>>): string {
  return [
    `FROM ${base}`,
    'WORKDIR /app',
    ...files.map((path) => `COPY ${path} ./${posix.basename(path)}`),
    ...(entrypoint.length > 0 ? [`ENTRYPOINT ${JSON.stringify(entrypoint)}`] : []),
    '',
  ].join('\n');
}
