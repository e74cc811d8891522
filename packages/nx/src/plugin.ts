import { posix } from 'node:path';
import type { CreateNodes, CreateNodesResult, TargetConfiguration } from '@nx/devkit';

/** What can be said of the plugin in nx.json. */
export interface PluginOptions {
  readonly lockTargetName?: string;
  readonly cacheTargetName?: string;
  readonly syncTargetName?: string;
  readonly buildTargetName?: string;
  readonly pushTargetName?: string;
  readonly saveTargetName?: string;
}

/**
 * Changes when the same inputs would give other outputs. An option of the inferred targets, so that
 * it is part of their hash.
 */
const format = 2;

/**
 * What a chart or a kustomization comes to may change with the tool; without one the task itself will
 * say so.
 */
const helmVersion = 'helm version --short || echo none';
const kustomizeVersion = 'kustomize version || kubectl version --client || echo none';

const buildFiles = ['Sealfile', 'Kubefile'];
const projectFiles = ['project.json', 'package.json'];

/**
 * Gives every project with a Kubefile or Sealfile the targets of a cluster image. Looks at names of
 * files only, so it costs next to nothing and no broken file can break the project graph.
 */
export const createNodes: CreateNodes<PluginOptions> = [
  '**/{Sealfile,Kubefile,project.json,package.json,cluster-image.json,Chart.yaml,*.tgz,kustomization.yaml,kustomization.yml,Kustomization}',
  (files, options = {}) => {
    const known = new Set(files);
    const charts = new Set(files.flatMap(chartsOf));
    const kustomizations = files.filter((file) =>
      /^kustomization(?:\.ya?ml)?$/i.test(posix.basename(file)),
    );
    const versionsFor = (root: string): readonly string[] => [
      ...(charts.has(root) ? [helmVersion] : []),
      ...(known.has(posix.join(root, 'cluster-image.json')) ||
      kustomizations.some((file) => file.startsWith(posix.join(root, 'manifests/')))
        ? [kustomizeVersion]
        : []),
    ];
    const roots = new Map<string, string>();
    for (const file of [...files].sort()) {
      const root = posix.dirname(file);
      const isBuildFile = buildFiles.includes(posix.basename(file));
      const isProject = projectFiles.some((name) => known.has(posix.join(root, name)));
      // Of a Sealfile and a Kubefile the first is used, as the build does.
      if (isBuildFile && isProject && (!roots.has(root) || file.endsWith('Sealfile'))) {
        roots.set(root, file);
      }
    }
    return [...roots].map(([root, file]) => [file, project(root, versionsFor(root), options)]);
  },
];

/** Nx 21 knows it by this name. */
export const createNodesV2 = createNodes;

/**
 * The project root that a chart belongs to, if the file is one directly below its `charts/`, or the
 * configuration, which may name others.
 */
function chartsOf(file: string): readonly string[] {
  const match =
    /^(?:(.+)\/)?(?:charts\/(?:[^/]+\.tgz|[^/]+\/Chart\.yaml)|cluster-image\.json)$/.exec(file);
  return match ? [match[1] ?? '.'] : [];
}

function project(
  root: string,
  versions: readonly string[],
  options: PluginOptions,
): CreateNodesResult {
  const {
    lockTargetName = 'lock-images',
    cacheTargetName = 'cache-images',
    syncTargetName = 'sync-registry',
    buildTargetName = 'build-image',
    pushTargetName = 'push-image',
    saveTargetName = 'save-image',
  } = options;
  const at = (path: string): string => posix.join(root, path);
  const inputs: TargetConfiguration['inputs'] = [
    '{projectRoot}/**/*',
    ...['dist', 'registry', 'node_modules'].map((path) => `!{projectRoot}/${path}/**/*`),
    ...versions.map((runtime) => ({ runtime })),
    { externalDependencies: [] },
  ];
  const target = (
    name: string,
    description: string,
    rest: Partial<TargetConfiguration>,
  ): TargetConfiguration => ({
    executor: `@cluster-image/nx:${name}`,
    metadata: { technologies: ['kubernetes', 'oci'], description },
    ...rest,
    options: { ...rest.options },
  });
  const targets: Record<string, TargetConfiguration> = {
    [lockTargetName]: target('lock-images', 'Pin the images of the context to digests', {
      cache: false,
      options: { context: root },
    }),
    [cacheTargetName]: target('cache-images', 'Bring the locked images into the content store', {
      cache: true,
      inputs,
      outputs: ['{projectRoot}/dist/images.json'],
      options: { context: root, receipt: at('dist/images.json'), format },
    }),
    [syncTargetName]: target('sync-registry', 'Bring every image into a registry', {
      cache: false,
      dependsOn: [cacheTargetName],
      options: { from: root, to: `registry:${at('registry')}` },
    }),
    [buildTargetName]: target('build-image', 'Build the cluster image', {
      cache: true,
      dependsOn: [cacheTargetName],
      inputs,
      outputs: ['{projectRoot}/dist/image', '{projectRoot}/dist/image.digest'],
      options: {
        context: root,
        thin: at('dist/image'),
        digestFile: at('dist/image.digest'),
        format,
      },
    }),
    [pushTargetName]: target('push-image', 'Push the cluster image to its registry', {
      cache: false,
      dependsOn: [buildTargetName],
      options: { from: `oci:${at('dist/image')}`, buildTarget: buildTargetName },
    }),
    [saveTargetName]: target('save-image', 'Save the cluster image as an archive', {
      cache: false,
      dependsOn: [buildTargetName],
      options: {
        from: `oci:${at('dist/image')}`,
        to: `docker-archive:${at('dist/image.tar')}`,
        buildTarget: buildTargetName,
      },
    }),
  };
  const targetGroups = { 'Cluster image': Object.keys(targets) };
  return { projects: { [root]: { targets, metadata: { targetGroups } } } };
}
