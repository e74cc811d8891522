import { posix } from 'node:path';
import { addProjectConfiguration, formatFiles, type Tree } from '@nx/devkit';
import init from './init.ts';
import { generatorOptions } from './options.ts';

const kubefile = `FROM scratch
LABEL sealos.io.type="application" \\
      sealos.io.version="v1beta1"
COPY charts ./charts
COPY manifests ./manifests
COPY registry ./registry
CMD ["kubectl apply -f manifests"]
`;

const readme = (name: string): string => `# ${name}

A cluster image: what is below \`charts/\` and \`manifests/\`, and every container image that refers to.

    nx run ${name}:lock-images     pins the images to digests; commit cluster-image.lock.json
    nx run ${name}:build-image     builds the cluster image
    nx run ${name}:push-image      pushes it

Images that no chart or manifest mentions go into \`images/shim/\`, one reference a line.
`;

/** Creates a project with a Kubefile and the directories it copies. Files that exist are left as they are. */
export default async function clusterImage(tree: Tree, given: unknown): Promise<void> {
  const {
    directory,
    name: chosen,
    tag,
    skipFormat,
  } = generatorOptions['cluster-image'].parse(given);
  const root = posix.normalize(directory).replace(/\/$/, '');
  const name = chosen ?? posix.basename(root);
  await init(tree, { skipFormat: true });
  if (!tree.exists(posix.join(root, 'project.json'))) {
    addProjectConfiguration(tree, name, {
      root,
      projectType: 'application',
      targets: tag === undefined ? {} : { 'build-image': { options: { tag } } },
    });
  }
  const files = {
    Kubefile: kubefile,
    'README.md': readme(name),
    'charts/.gitkeep': '',
    'manifests/.gitkeep': '',
    'images/shim/images.txt': '# One image a line, for instance\n# docker.io/library/nginx:1.29\n',
  };
  for (const [path, text] of Object.entries(files)) {
    const target = posix.join(root, path);
    if (!tree.exists(target)) tree.write(target, text);
  }
  if (!skipFormat) await formatFiles(tree);
}
