import type { ImageConfig, Tree } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { discoverVerb } from '../../src/verbs/discover.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { configIn, filesOf, manifestIn, unpacked } from '../assemble/assembly.ts';
import { chartFile, pod } from '../chart-files.ts';
import { type Given, putFiles } from '../context.ts';
import { type Desk, desk } from '../desk.ts';

interface SealerImage {
  readonly config: ImageConfig['config'];
  readonly annotations: Readonly<Record<string, string>>;
  readonly tree: Tree;
}

const options = (here: Desk) => ({ context: 'cluster', plainHttp: [here.host] });

/** Writes a context, in which HOST stands for the registry. */
async function putContext(here: Desk, files: Readonly<Record<string, Given>>): Promise<void> {
  await putFiles(
    here.path('cluster'),
    Object.fromEntries(
      Object.entries(files).map(([path, text]) => [
        path,
        typeof text === 'string' ? text.replaceAll('HOST', here.host) : text,
      ]),
    ),
  );
}

/** Locks and builds a context, and opens the image of its first platform. */
async function built(
  here: Desk,
  files: Readonly<Record<string, Given>>,
  given: { readonly type?: 'app-installer' } = {},
): Promise<SealerImage> {
  await putContext(here, files);
  await here.run(lockVerb, options(here));
  await here.run(buildVerb, { ...options(here), tag: 'acme/cluster:1', ...given });
  const name = { host: 'docker.io', repository: 'acme/cluster', tag: '1' };
  const image = await here.store.image(name);
  if (!image) throw new Error('no image');
  return {
    config: configIn(image).config,
    annotations: manifestIn(image).annotations,
    tree: await unpacked(image, here),
  };
}

const said = ({ annotations }: SealerImage, name: string): unknown =>
  JSON.parse(annotations[`sealer.image.${name}`] ?? 'null');

const context = {
  Kubefile: `FROM scratch
ENV registry=sea.hub:5000 mode="quiet"
COPY list manifests/imageList
COPY \${ARCH}/bin bin
CNI net local://net.yaml
APP web local://web
APP db local://deploy/db local://scripts/install.sh
APPENV db size=10Gi
APPCMDS db ["bash", "install.sh"]
KUBEVERSION >=1.22
LAUNCH ["db", "web"]
`,
  list: 'HOST/acme/app:1\n',
  'amd64/bin/tool': 'for amd64',
  'arm64/bin/tool': 'for arm64',
  'net.yaml': pod('HOST/acme/index:1'),
  'web/Chart.yaml': chartFile('web'),
  'web/values.yaml': 'image: HOST/acme/app:1\n',
  'web/templates/pod.yaml': pod('{{ .Values.image }}'),
  'deploy/db/db.yaml': pod('HOST/acme/app:1'),
  'scripts/install.sh': 'kubectl apply -f db.yaml\n',
  'imageListWithAuth.yaml':
    '- {registry: HOST, username: me, password: secret, images: ["acme/index:1"]}\n',
};

describe('a build file of sealer', () => {
  test('becomes the image that sealer makes of it', async () => {
    const here = await desk();
    const image = await built(here, context, { type: 'app-installer' });
    expect(image.config).toEqual({
      Env: ['registry=sea.hub:5000', 'mode=quiet'],
      Labels: {
        'app.alpha.sealer.io/supported-kube-version': '>=1.22',
        'cluster.alpha.sealer.io/kube-cni-net': 'true',
      },
      Cmd: ['cd application/apps/db/ && bash install.sh', 'helm install web application/apps/web/'],
    });
    expect(said(image, 'extension')).toEqual({
      buildClient: { sealerVersion: 'cluster-image', buildahVersion: '' },
      schemaVersion: 'v1alpha1',
      type: 'app-installer',
      applications: [
        { name: 'net', type: 'kube', files: ['net.yaml'], version: 'v1' },
        { name: 'web', type: 'helm', files: ['web'], version: 'v1' },
        { name: 'db', version: 'v1', env: { size: '10Gi' }, cmds: ['bash', 'install.sh'] },
      ],
      env: { mode: 'quiet', registry: 'sea.hub:5000' },
      launch: { app_names: ['db', 'web'] },
    });
    const platform = { architecture: 'amd64', os: 'linux' };
    const app = `${here.host}/acme/app:1`;
    const index = `${here.host}/acme/index:1`;
    expect(said(image, 'container.images')).toEqual([
      { image: app, platform },
      { image: app, appName: 'db', platform },
      { image: app, appName: 'web', platform },
      { image: index, platform },
      { image: index, appName: 'net', platform },
    ]);
    const files = await filesOf(image.tree);
    const own = [...files.keys()].filter((path) => !/^(?:registry|\.cluster-image)\//.test(path));
    expect(own).toEqual([
      'application/apps/db/db.yaml',
      'application/apps/db/install.sh',
      'application/apps/net/net.yaml',
      'application/apps/web/Chart.yaml',
      'application/apps/web/templates/pod.yaml',
      'application/apps/web/values.yaml',
      'bin/tool',
      'manifests/imageList',
    ]);
    expect(Buffer.from(files.get('bin/tool') ?? '', 'hex').toString()).toBe('for amd64');
    const tags = [...files.keys()].filter((path) => path.endsWith('/current/link'));
    expect(tags).toEqual([
      'registry/docker/registry/v2/repositories/acme/app/_manifests/tags/1/current/link',
      'registry/docker/registry/v2/repositories/acme/index/_manifests/tags/1/current/link',
    ]);
  });

  test('tells where its images are from, and that credentials are left alone', async () => {
    const here = await desk();
    await putContext(here, context);
    const { images } = await here.run(discoverVerb, options(here));
    expect(
      images.map(({ origins }) => origins.map(({ file, application }) => [file, application])),
    ).toEqual([
      [
        ['web/templates/pod.yaml', 'web'],
        ['deploy/db/db.yaml', 'db'],
        ['list', undefined],
      ],
      [
        ['imageListWithAuth.yaml', undefined],
        ['net.yaml', 'net'],
      ],
    ]);
    expect(here.events).toContainEqual({
      type: 'warning',
      message:
        'imageListWithAuth.yaml: its credentials are not used, and it is no part of the image',
      hint: expect.stringContaining('docker login'),
    });
    expect(JSON.stringify(here.events)).not.toContain('secret');
  });

  test('keeps credentials out of the image, whatever it copies', async () => {
    const here = await desk();
    const image = await built(here, {
      ...context,
      Kubefile: 'FROM scratch\nCOPY . all\nCMDS ["ls"]',
    });
    const files = await filesOf(image.tree);
    expect(files.has('all/list')).toBe(true);
    expect(files.has('all/imageListWithAuth.yaml')).toBe(false);
    expect(image.config?.Cmd).toEqual(['ls']);
    expect(said(image, 'extension')).toMatchObject({
      type: 'kube-installer',
      launch: { cmds: ['ls'] },
    });
  });

  test('is another on each platform', async () => {
    const here = await desk();
    await putContext(here, {
      Kubefile: 'FROM scratch\nAPP web local://$ARCH\n',
      'amd64/a.yaml': pod('HOST/acme/index:1'),
      'arm64/b.sh': 'true',
    });
    const platform = ['linux/amd64', 'linux/arm64'];
    await here.run(lockVerb, { ...options(here), platform });
    await here.run(buildVerb, { ...options(here), platform, tag: 'acme/cluster:1' });
    const name = { host: 'docker.io', repository: 'acme/cluster', tag: '1' };
    const image = await here.store.image(name);
    if (!image) throw new Error('no image');
    const annotations = [0, 1].map((at) => manifestIn(image, at).annotations);
    expect(
      annotations.map((each) => JSON.parse(each['sealer.image.extension'] ?? '')),
    ).toMatchObject([
      { applications: [{ type: 'kube', files: ['/a.yaml'] }] },
      { applications: [{ type: 'shell', files: ['/b.sh'] }] },
    ]);
    expect(annotations.map((each) => each['sealer.image.container.images'])).toEqual(
      ['amd64', 'arm64'].map((architecture) =>
        JSON.stringify([
          {
            image: `${here.host}/acme/index:1`,
            appName: 'web',
            platform: { architecture, os: 'linux' },
          },
        ]),
      ),
    );
  });

  test('builds upon another one, with its applications and images', async () => {
    const here = await desk();
    await built(here, context, { type: 'app-installer' });
    await here.run(buildVerb, {
      ...options(here),
      tag: 'base',
      output: [`docker://${here.host}/acme/base:1`],
    });
    const image = await built(here, {
      'imageListWithAuth.yaml': '',
      Kubefile: 'FROM HOST/acme/base:1\nAPP more local://deploy/db\nLAUNCH net more\n',
    });
    expect(said(image, 'extension')).toMatchObject({
      type: 'kube-installer',
      applications: [{ name: 'net' }, { name: 'web' }, { name: 'db' }, { name: 'more' }],
      launch: { app_names: ['net', 'more'] },
    });
    expect(said(image, 'extension')).not.toHaveProperty('env');
    const platform = { architecture: 'amd64', os: 'linux' };
    expect(said(image, 'container.images')).toContainEqual({
      image: `${here.host}/acme/index:1`,
      appName: 'net',
      platform,
    });
    expect(said(image, 'container.images')).toContainEqual({
      image: `${here.host}/acme/app:1`,
      appName: 'more',
      platform,
    });
  });
});

test('an image that is not for sealer has none of its annotations, unless that is asked for', async () => {
  const here = await desk();
  const plain = await built(here, {
    Kubefile: 'FROM scratch\nCOPY list .\nCMD ["ls"]\n',
    list: '',
  });
  expect(plain.annotations).toEqual({});
  const asked = await built(here, { 'cluster-image.json': '{"type": "kube-installer"}' });
  expect(said(asked, 'extension')).toEqual({
    buildClient: { sealerVersion: 'cluster-image', buildahVersion: '' },
    schemaVersion: 'v1alpha1',
    type: 'kube-installer',
    launch: { cmds: ['ls'] },
  });
});
