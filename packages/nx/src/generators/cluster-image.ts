import { posix } from 'node:path';
import { addProjectConfiguration, formatFiles, getProjects, type Tree } from '@nx/devkit';
import { newContext } from 'cluster-image';
import type { TargetNames } from '../inference/options.ts';
import { clusterFiles } from '../inference/workspace.ts';
import { addChart } from './add-chart.ts';
import init from './init.ts';
import { generatorOptions } from './options.ts';
import { targetNamesFor } from './target-names.ts';
import { writeNew } from './write-new.ts';

function readme(name: string, names: TargetNames): string {
  const deeds = [
    [names.lockTargetName, 'pins the images to digests; commit cluster-image.lock.json'],
    [names.buildTargetName, 'builds the cluster image'],
    [names.pushTargetName, 'pushes it'],
  ] as const;
  const longest = Math.max(...deeds.map(([target]) => target.length));
  const lines = deeds.map(
    ([target, deed]) => `    nx run ${name}:${target.padEnd(longest)}     ${deed}`,
  );
  return `# ${name}

A cluster image: what is below \`charts/\` and \`manifests/\`, and every container image that refers to.

${lines.join('\n')}

Images that no chart or manifest mentions go into \`images/shim/\`, one reference a line.
`;
}

/**
 * Creates a project with a Kubefile and the directories it copies. A directory that has a build file
 * already becomes a project as it is; files that exist are never changed. Throws where a project in
 * another directory has the name.
 */
export default async function clusterImage(tree: Tree, given: unknown): Promise<void> {
  const options = generatorOptions['cluster-image'].parse(given);
  const { directory, tag, chart, list } = options;
  const root = posix.normalize(directory).replace(/\/$/, '');
  const known = nameOfProjectAt(tree, root);
  const name = known ?? newName(tree, options.name ?? posix.basename(root));
  await init(tree, { skipFormat: true });
  const buildFile = clusterFiles.find((file) => tree.exists(posix.join(root, file)));
  const names = targetNamesFor(tree, posix.join(root, buildFile ?? 'Kubefile'));
  if (known === undefined) {
    addProjectConfiguration(tree, name, {
      root,
      projectType: 'application',
      targets: tag === undefined ? {} : { [names.buildTargetName]: { options: { tag } } },
    });
  }
  const installs = chart === undefined ? undefined : addChart(tree, root, chart);
  if (list !== undefined) addList(tree, root, list);
  if (buildFile === undefined) {
    const { Kubefile = '', ...others } = newContext;
    const command = installs === undefined ? undefined : `CMD [${JSON.stringify(installs)}]\n`;
    writeNew(tree, root, {
      Kubefile: command === undefined ? Kubefile : Kubefile.replace(/^CMD .*\n/m, command),
      'README.md': readme(name, names),
      ...others,
    });
  }
  if (!options.skipFormat) await formatFiles(tree);
}

function nameOfProjectAt(tree: Tree, root: string): string | undefined {
  const [name] = [...getProjects(tree)].find(([, project]) => project.root === root) ?? [];
  return name;
}

/** Two projects of one name are a graph that Nx cannot make, for anybody. */
function newName(tree: Tree, name: string): string {
  const other = getProjects(tree).get(name);
  if (other) {
    throw new Error(
      `there is a project ${name} in ${other.root} already: give this one another name with --name`,
    );
  }
  return name;
}

/** Throws where there is no such file. */
function addList(tree: Tree, root: string, list: string): void {
  const text = tree.read(list, 'utf8');
  if (text === null) throw new Error(`--list: there is no file ${list} in the workspace`);
  writeNew(tree, root, { [`images/shim/${posix.basename(list)}`]: text });
}
