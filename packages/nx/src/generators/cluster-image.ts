import { posix } from 'node:path';
import { addProjectConfiguration, formatFiles, type Tree } from '@nx/devkit';
import { newContext } from 'cluster-image';
import { addChart } from './add-chart.ts';
import init from './init.ts';
import { generatorOptions } from './options.ts';
import { writeNew } from './write-new.ts';

const buildFiles = ['Sealfile', 'Kubefile'];

const readme = (name: string): string => `# ${name}

A cluster image: what is below \`charts/\` and \`manifests/\`, and every container image that refers to.

    nx run ${name}:lock-images     pins the images to digests; commit cluster-image.lock.json
    nx run ${name}:build-image     builds the cluster image
    nx run ${name}:push-image      pushes it

Images that no chart or manifest mentions go into \`images/shim/\`, one reference a line.
`;

/**
 * Creates a project with a Kubefile and the directories it copies. A directory that has a build file
 * already becomes a project as it is; files that exist are never changed.
 */
export default async function clusterImage(tree: Tree, given: unknown): Promise<void> {
  const options = generatorOptions['cluster-image'].parse(given);
  const { directory, tag, chart, list } = options;
  const root = posix.normalize(directory).replace(/\/$/, '');
  const name = options.name ?? posix.basename(root);
  await init(tree, { skipFormat: true });
  if (!tree.exists(posix.join(root, 'project.json'))) {
    addProjectConfiguration(tree, name, {
      root,
      projectType: 'application',
      targets: tag === undefined ? {} : { 'build-image': { options: { tag } } },
    });
  }
  const isContext = buildFiles.some((file) => tree.exists(posix.join(root, file)));
  const installs = chart === undefined ? undefined : addChart(tree, root, chart);
  if (list !== undefined) addList(tree, root, list);
  if (!isContext) {
    const { Kubefile = '', ...others } = newContext;
    const command = installs === undefined ? undefined : `CMD [${JSON.stringify(installs)}]\n`;
    writeNew(tree, root, {
      Kubefile: command === undefined ? Kubefile : Kubefile.replace(/^CMD .*\n/m, command),
      'README.md': readme(name),
      ...others,
    });
  }
  if (!options.skipFormat) await formatFiles(tree);
}

/** Throws where there is no such file. */
function addList(tree: Tree, root: string, list: string): void {
  const text = tree.read(list, 'utf8');
  if (text === null) throw new Error(`--list: there is no file ${list} in the workspace`);
  writeNew(tree, root, { [`images/shim/${posix.basename(list)}`]: text });
}
