/** A service whose build leaves comments out. */
export function service(name: string): Readonly<Record<string, string>> {
  const build = {
    executor: 'nx:run-commands',
    cache: true,
    inputs: ['{projectRoot}/src/**/*'],
    outputs: ['{projectRoot}/dist'],
    options: {
      command: "mkdir -p dist && grep -v '^//' src/main.js > dist/main.js",
      cwd: `apps/${name}`,
    },
  };
  return {
    [`apps/${name}/project.json`]: JSON.stringify({ name, targets: { build } }),
    [`apps/${name}/Dockerfile`]: 'FROM scratch\nCOPY dist/main.js /\nENTRYPOINT ["/main.js"]\n',
    [`apps/${name}/src/main.js`]: `console.log('${name}');\n`,
  };
}

/** A cluster image that contains images of services. */
export function cluster(
  name: string,
  services: readonly string[],
): Readonly<Record<string, string>> {
  const pods = services.map(
    (service) => `---
apiVersion: v1
kind: Pod
metadata: { name: ${service} }
spec: { containers: [{ name: main, image: "registry.example/acme/${service}:dev" }] }
`,
  );
  const workspaceImages = Object.fromEntries(
    services.map((service) => [
      `registry.example/acme/${service}`,
      `oci:../../apps/${service}/dist/image`,
    ]),
  );
  return {
    [`clusters/${name}/project.json`]: JSON.stringify({ name }),
    [`clusters/${name}/Kubefile`]:
      'FROM scratch\nCOPY manifests ./manifests\nCOPY registry ./registry\n',
    [`clusters/${name}/manifests/pods.yaml`]: pods.join(''),
    [`clusters/${name}/cluster-image.json`]: JSON.stringify({ workspaceImages }),
  };
}

interface Fault {
  readonly task: string;
  readonly says: string;
  readonly files: Readonly<Record<string, string>>;
}

const faults: readonly Fault[] = [
  {
    task: 'broken-kubefile:build-image',
    says: 'error: Kubefile:2: COPY needs a source and a destination',
    files: { 'broken/kubefile/Kubefile': 'FROM scratch\nCOPY onlyone\n' },
  },
  {
    task: 'broken-configuration:cache-images',
    says: 'broken/configuration/cluster-image.json:1: ends too early',
    files: {
      'broken/configuration/Kubefile': 'FROM scratch\n',
      'broken/configuration/cluster-image.json': '{ "workspaceImages": ',
    },
  },
  {
    task: 'broken-dockerfile:image',
    says: 'error: Dockerfile:1: not FROM image [AS name]',
    files: { 'broken/dockerfile/Dockerfile': 'FROM\nCOPY [ /\n' },
  },
  {
    task: 'broken-chart:cache-images',
    says: 'charts/web: Chart.yaml: it has no name.',
    files: {
      'broken/chart/Kubefile': 'FROM scratch\nCOPY charts ./charts\n',
      'broken/chart/charts/web/Chart.yaml': '{',
    },
  },
  {
    task: 'broken-options:build-image',
    says: "Property 'platform' does not match the schema",
    files: {
      'broken/options/Kubefile': 'FROM scratch\n',
      'broken/options/project.json': JSON.stringify({
        name: 'broken-options',
        targets: { 'build-image': { options: { platform: [1] } } },
      }),
    },
  },
];

/** Projects that each have something wrong, and what their tasks say of it. */
export const broken: readonly Fault[] = faults.map(({ task, says, files }) => {
  const name = task.replace(/:.*/, '');
  const project = { [`${name.replace('-', '/')}/project.json`]: JSON.stringify({ name }) };
  return { task, says, files: { ...project, ...files } };
});
