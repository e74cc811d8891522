/**
 * The files that a new context begins with, by path. Its build file copies all that sealos and sealer know;
 * what is not there yet has an empty file in its place.
 */
export const newContext: Readonly<Record<string, string>> = {
  Kubefile: `FROM scratch
LABEL sealos.io.type="application" \\
      sealos.io.version="v1beta1"
COPY charts ./charts
COPY manifests ./manifests
COPY registry ./registry
CMD ["kubectl apply -f manifests"]
`,
  'charts/.gitkeep': '',
  'manifests/.gitkeep': '',
  'images/shim/images.txt': '# One image a line, for instance\n# docker.io/library/nginx:1.29\n',
};

/** What a build leaves beside the context: a thin image and its digest. */
const [thin, digestFile] = ['dist/image', 'dist/image.digest'];

/** The scripts of a package that is a context, as npm runs them and other runners do. */
export function contextScripts(tag: string): Readonly<Record<string, string>> {
  return {
    'lock-images': 'cluster-image lock',
    'build-image': `cluster-image build -t ${tag} --thin ${thin} --digest-file ${digestFile}`,
    // Builds anew: a thin image out of a task cache has nothing in the store to be pushed.
    'push-image': `cluster-image build --output docker://${tag} --exclude ${thin} --exclude ${digestFile}`,
  };
}

/** What Turborepo would keep from tasks: where the store is, and how registries are reached. */
const passThroughEnv = [
  'CLUSTER_IMAGE_STORE',
  'XDG_CACHE_HOME',
  'DOCKER_CONFIG',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'NODE_EXTRA_CA_CERTS',
];

const outputs = [`${thin}/**`, digestFile];

/**
 * Tasks for Turborepo 2.10 or later. A cluster image depends on the digests of the images it takes from
 * other packages, not on their sources. https://turborepo.com/docs/reference/configuration
 */
export const turboTasks: Readonly<Record<string, object>> = {
  // Turborepo knows no dependency on a task that nobody has.
  build: { dependsOn: ['^build'] },
  // What is built upon or contains the image takes its files from the store, which no task cache restores.
  image: { dependsOn: ['build', '^image'], cache: false, outputs, passThroughEnv },
  'build-image': {
    dependsOn: ['^image'],
    inputs: [
      '$TURBO_DEFAULT$',
      '$TURBO_ROOT$/cluster-image.json',
      ...outputs.map((path) => `!${path}`),
      // What the runner itself writes, which is no input unless others are named.
      '!.turbo/**',
      { mode: 'dependencyOutputs', globs: [digestFile], from: ['^image'] },
    ],
    outputs,
    passThroughEnv,
  },
  'push-image': { dependsOn: ['image', 'build-image'], cache: false, passThroughEnv },
  'lock-images': { cache: false, passThroughEnv },
};
