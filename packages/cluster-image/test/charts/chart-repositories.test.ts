import { gzipSync } from 'node:zlib';
import { network } from '@cluster-image/distribution';
import { createContext, digestOf, readAll } from '@cluster-image/oci';
import { type FaultRegistry, faultRegistry, noise } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ChartArtifact } from '../../src/charts/chart-artifact.ts';
import { type ChartRepositories, chartRepositories } from '../../src/charts/chart-repositories.ts';
import type { LockedChart } from '../../src/lock/lockfile.ts';
import {
  type ChartServer,
  chartOf,
  chartServer,
  hexOf,
  indexOf,
  pushChart,
  serveCharts,
} from '../chart-server.ts';
import { failureOf } from '../failure.ts';

function repositoriesOf(...servers: readonly Pick<FaultRegistry, 'host'>[]): ChartRepositories {
  const context = createContext();
  const hosts = Object.fromEntries(servers.map(({ host }) => [host, { plainHttp: true }]));
  const created = network({ context, hosts, sleep: async () => {} });
  onTestFinished(() => created.close());
  return chartRepositories(created, context);
}

async function archiveOf({ registry, repository, archive }: ChartArtifact): Promise<Buffer> {
  const content = await registry.blob(repository, archive.digest, archive.size);
  if (!content) throw new Error('no archive');
  return Buffer.from(await readAll(content, archive.size));
}

function pinOf(
  chart: { readonly repository: string; readonly name: string },
  version: string,
  { archive, manifest }: ChartArtifact,
): LockedChart {
  const { digest, size } = archive;
  const isOci = chart.repository.startsWith('oci:');
  return { ...chart, version, digest, size, ...(isOci && { manifest: manifest.digest }) };
}

async function webRepository(versions: readonly string[] = ['1.9.0', '1.10.0', '2.0.0-rc.1']) {
  const server = await chartServer();
  await serveCharts(server, 'web', versions);
  return { server, chart: { path: 'charts/web.tgz', repository: server.url, name: 'web' } };
}

describe('a chart on a web server', () => {
  test('is the newest stable version, fetched with two requests', async () => {
    const { server, chart } = await webRepository();
    const { version, artifact } = await repositoriesOf(server).find(chart);
    expect(version).toBe('1.10.0');
    expect(await archiveOf(artifact)).toEqual(await chartOf('web', '1.10.0'));
    expect(server.paths()).toEqual(['/stable/index.yaml', '/stable/charts/web-1.10.0.tgz']);
  });

  test('becomes the same artifact every time', async () => {
    const { server, chart } = await webRepository();
    const { artifact } = await repositoriesOf(server).find(chart);
    const body = await chartOf('web', '1.10.0');
    const config = '{"name":"web","version":"1.10.0"}';
    expect(new TextDecoder().decode(artifact.manifest.bytes)).toBe(
      `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"${digestOf(Buffer.from(config))}","size":33},"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"${digestOf(body)}","size":${body.length}}]}`,
    );
  });

  test('shares the index with the others of its repository', async () => {
    const { server, chart } = await webRepository();
    const repositories = repositoriesOf(server);
    await Promise.all([
      repositories.find({ ...chart, version: '1.9.x' }),
      repositories.find({ ...chart, version: '^2.0.0-rc' }),
    ]);
    expect(server.paths().filter((path) => path.endsWith('index.yaml'))).toHaveLength(1);
    expect(server.paths()).toHaveLength(3);
  });

  test('that is pinned is found again by its version', async () => {
    const { server, chart } = await webRepository();
    const { path: _, ...named } = chart;
    const found = await repositoriesOf(server).find({ ...chart, version: '1.9.0' });
    const pin = pinOf(named, '1.9.0', found.artifact);
    const again = await repositoriesOf(server).fetch(pin);
    expect(again.manifest).toEqual(found.artifact.manifest);
  });

  test('that was replaced or removed since it was pinned is told', async () => {
    const { server, chart } = await webRepository(['1.0.0']);
    const { path: _, ...named } = chart;
    const found = await repositoriesOf(server).find(chart);
    const pin = pinOf(named, '1.0.0', found.artifact);
    await serveCharts(server, 'web', ['1.0.0'], 'a.io/other:2');
    expect((await failureOf(repositoriesOf(server).fetch(pin))).code).toBe('DIGEST_MISMATCH');
    await serveCharts(server, 'web', ['1.0.1']);
    expect((await failureOf(repositoriesOf(server).fetch(pin))).code).toBe('NOT_FOUND');
  });

  test('may lie at another URL, with an index that is packed', async () => {
    const { server, chart } = await webRepository([]);
    const other = await chartServer({ '/w.tgz': await chartOf('web', '1.0.0') });
    const text = indexOf({ web: [{ version: '1.0.0', url: `http://${other.host}/w.tgz` }] });
    server.files.set('/stable/index.yaml', gzipSync(text));
    const { artifact } = await repositoriesOf(server).find(chart);
    expect(await archiveOf(artifact)).toEqual(await chartOf('web', '1.0.0'));
  });

  test.each([
    [{ name: 'gone' }, 'NOT_FOUND', 'there is no chart'],
    [{ version: '^3' }, 'NOT_FOUND', 'has no version ^3'],
    [{ repository: 'gone' }, 'NOT_FOUND', 'there is no chart repository'],
  ])('that is not there is told: %j', async (wrong, code, message) => {
    const { server, chart } = await webRepository();
    const asked = { ...chart, ...wrong };
    const repository = asked.repository === 'gone' ? `http://${server.host}/gone` : server.url;
    const error = await failureOf(repositoriesOf(server).find({ ...asked, repository }));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });
});

describe('Y08 a hostile repository', () => {
  async function refused(index: string, files: Readonly<Record<string, Uint8Array>> = {}) {
    const server = await chartServer({ '/stable/index.yaml': index, ...files });
    const chart = { path: 'charts/web.tgz', repository: server.url, name: 'web' };
    const error = await failureOf(repositoriesOf(server).find(chart));
    return { error, server };
  }

  test.each(['file:///etc/passwd', 'ftp://127.0.0.1/x', 'data:application/gzip,x', 'http://a b/'])(
    'leads nowhere with %s',
    async (url) => {
      const { error, server } = await refused(indexOf({ web: [{ version: '1.0.0', url }] }));
      expect([error.code, server.log.length]).toEqual(['UPSTREAM', 1]);
    },
  );

  test('does not lead out of its server with ../', async () => {
    const url = '../../../../etc/passwd';
    const { error, server } = await refused(indexOf({ web: [{ version: '1.0.0', url }] }));
    expect([error.code, server.paths()]).toEqual([
      'NOT_FOUND',
      ['/stable/index.yaml', '/etc/passwd'],
    ]);
  });

  test('has another archive than its index says', async () => {
    const digest = hexOf(digestOf(noise('other', 10)));
    const { error } = await refused(indexOf({ web: [{ version: '1.0.0', digest }] }), {
      '/stable/charts/web-1.0.0.tgz': await chartOf('web', '1.0.0'),
    });
    expect(error.code).toBe('DIGEST_MISMATCH');
  });

  test('has two versions of one name', async () => {
    const [one, other] = ['1', '2'].map((seed) => hexOf(digestOf(noise(seed, 10))));
    const text = indexOf({
      web: [
        { version: '1.0.0', digest: one },
        { version: 'v1.0.0', digest: other },
      ],
    });
    const { error, server } = await refused(text);
    expect([error.code, server.log.length]).toEqual(['UPSTREAM', 1]);
  });

  test('lists what are no versions, which do not count', async () => {
    const server = await chartServer();
    const archive = await chartOf('web', '1.0.0');
    server.files.set('/stable/charts/web-1.0.0.tgz', archive);
    const versions = ['latest', '99', '9.9.9.9', '1.0.0', '../9.0.0', '""'];
    server.files.set(
      '/stable/index.yaml',
      indexOf({ web: versions.map((version) => ({ version })) }),
    );
    const chart = { path: 'charts/web.tgz', repository: server.url, name: 'web' };
    expect((await repositoriesOf(server).find(chart)).version).toBe('1.0.0');
  });

  test('has an index of a gigabyte, which is not read', async () => {
    const server = await chartServer({}, [
      {
        match: { kind: 'elsewhere' },
        fault: { raw: `HTTP/1.1 200 OK\r\ncontent-length: ${2 ** 30}\r\n\r\nentries:` },
      },
    ]);
    const chart = { path: 'charts/web.tgz', repository: server.url, name: 'web' };
    const error = await failureOf(repositoriesOf(server).find(chart));
    expect([error.code, error.message]).toEqual([
      'UPSTREAM',
      `${server.host}/stable/index.yaml has over 67108864 bytes`,
    ]);
  });

  test('has an index that unpacks to a gigabyte', async () => {
    const bomb = gzipSync(Buffer.alloc(65 * 1024 * 1024), { level: 1 });
    const server = await chartServer({ '/stable/index.yaml': bomb });
    const chart = { path: 'charts/web.tgz', repository: server.url, name: 'web' };
    expect((await failureOf(repositoriesOf(server).find(chart))).code).toBe('ARCHIVE_INVALID');
  });
});

describe('a chart in a registry', () => {
  async function registryWith(tags: readonly string[]) {
    const server = await faultRegistry();
    for (const tag of tags) {
      const archive = await chartOf('web', tag.replaceAll('_', '+'));
      await pushChart(server.registry, { repository: 'charts/web', tag, archive });
    }
    const repository = `oci://${server.host}/charts`;
    return { server, chart: { path: 'charts/web.tgz', repository, name: 'web' } };
  }

  test('is the newest version that its tags have', async () => {
    const { server, chart } = await registryWith(['1.9.0', '1.10.0', 'latest', '2.0.0-rc.1']);
    const { version, artifact } = await repositoriesOf(server).find(chart);
    expect(version).toBe('1.10.0');
    expect(await archiveOf(artifact)).toEqual(await chartOf('web', '1.10.0'));
  });

  test('of one version is had without a list, as a tag without a plus sign', async () => {
    const { server, chart } = await registryWith(['1.0.0_build.5']);
    const found = await repositoriesOf(server).find({ ...chart, version: '1.0.0+build.5' });
    expect(found.version).toBe('1.0.0+build.5');
    expect(server.requests('tags')).toEqual([]);
    expect(server.log.map(({ reference }) => reference)).toContain('1.0.0_build.5');
  });

  test('has a version with a v in front where only that is there', async () => {
    const { server, chart } = await registryWith(['v1.16.3', 'v1.16.2']);
    const repositories = repositoriesOf(server);
    const versions = await Promise.all(
      ['1.16.2', '1.16.x'].map(async (version) => repositories.find({ ...chart, version })),
    );
    expect(versions.map(({ version }) => version)).toEqual(['v1.16.2', 'v1.16.3']);
  });

  test('that is pinned is fetched by digest, whatever its tag means', async () => {
    const { server, chart } = await registryWith(['1.0.0']);
    const { path: _, ...named } = chart;
    const found = await repositoriesOf(server).find(chart);
    const pin = pinOf(named, '1.0.0', found.artifact);
    const other = await chartOf('web', '1.0.0', 'a.io/other:1');
    await pushChart(server.registry, { repository: 'charts/web', tag: '1.0.0', archive: other });
    const again = await repositoriesOf(server).fetch(pin);
    expect(again.manifest.digest).toBe(found.artifact.manifest.digest);
  });

  test('comes from a mirror as images do', async () => {
    const { server } = await registryWith(['1.0.0']);
    const context = createContext();
    const mirror = { url: async () => new URL(`http://${server.host}`) };
    const created = network({
      context,
      hosts: { 'charts.invalid': { mirrors: [mirror] }, [server.host]: { plainHttp: true } },
    });
    onTestFinished(() => created.close());
    const repository = 'oci://charts.invalid/charts';
    const chart = { path: 'charts/web.tgz', repository, name: 'web', version: '1.0.0' };
    const { artifact } = await chartRepositories(created, context).find(chart);
    expect(await archiveOf(artifact)).toEqual(await chartOf('web', '1.0.0'));
  });

  test('may have its provenance beside it, or be of an older helm', async () => {
    const server = await faultRegistry();
    const archive = await chartOf('web', '1.0.0');
    const provenance = {
      mediaType: 'application/vnd.cncf.helm.chart.provenance.v1.prov',
      body: Buffer.from('signed'),
    };
    await pushChart(server.registry, {
      repository: 'charts/web',
      tag: '1.0.0',
      archive,
      others: [provenance],
    });
    await pushChart(server.registry, {
      repository: 'charts/web',
      tag: '0.9.0',
      archive,
      layer: 'application/tar+gzip',
    });
    const repository = `oci://${server.host}/charts`;
    const chart = { path: 'charts/web.tgz', repository, name: 'web' };
    for (const version of ['1.0.0', '0.9.0']) {
      const { artifact } = await repositoriesOf(server).find({ ...chart, version });
      expect(artifact.archive.digest).toBe(digestOf(archive));
    }
  });

  test.each([
    ['an image', { config: 'application/vnd.oci.image.config.v1+json' }, 'not a helm chart'],
    ['something else', { layer: 'application/octet-stream' }, 'one archive'],
    [
      'two charts',
      { others: [{ mediaType: 'application/tar+gzip', body: Buffer.from('x') }] },
      'one archive',
    ],
  ])('is refused where it is %s', async (_, wrong, why) => {
    const server = await faultRegistry();
    const archive = await chartOf('web', '1.0.0');
    const pushed = { repository: 'charts/web', tag: '1.0.0', archive, ...wrong };
    await pushChart(server.registry, pushed);
    const repository = `oci://${server.host}/charts`;
    const chart = { path: 'charts/web.tgz', repository, name: 'web' };
    const error = await failureOf(repositoriesOf(server).find(chart));
    expect(error.code).toBe('MANIFEST_INVALID');
    expect(error.message).toContain(why);
  });

  test('that is not there is told', async () => {
    const { server, chart } = await registryWith(['1.0.0-rc.1']);
    const failed = async (more: object) => {
      const error = await failureOf(repositoriesOf(server).find({ ...chart, ...more }));
      return [error.code, error.hint];
    };
    expect(await failed({})).toEqual(['NOT_FOUND', 'Its newest version is 1.0.0-rc.1.']);
    expect(await failed({ version: '2.0.0' })).toEqual([
      'NOT_FOUND',
      'Its newest version is 1.0.0-rc.1.',
    ]);
    expect((await failed({ name: 'gone' }))[0]).toBe('NOT_FOUND');
  });
});

test('credentials of a chart server stay with it', async () => {
  const auth = { scheme: 'basic', users: ['me:canary'] } as const;
  const other: ChartServer = await chartServer({ '/w.tgz': await chartOf('web', '1.0.0') });
  const text = indexOf({ web: [{ version: '1.0.0', url: `http://${other.host}/w.tgz` }] });
  const server = await faultRegistry({
    auth,
    rules: [{ match: { nth: 1 }, fault: {} }, { fault: { body: text, status: 200 } }],
  });
  const context = createContext();
  const created = network({
    context,
    hosts: { [server.host]: { plainHttp: true } },
    credentials: async () => ({
      source: 'a test',
      basic: { username: 'me', password: 'canary' },
    }),
  });
  onTestFinished(() => created.close());
  const repository = `http://${server.host}`;
  const chart = { path: 'charts/web.tgz', repository, name: 'web' };
  await chartRepositories(created, context).find(chart);
  const shown = (log: FaultRegistry['log']) => log.map(({ headers }) => headers.authorization);
  expect([shown(server.log), shown(other.log)]).toEqual([
    [undefined, `Basic ${btoa('me:canary')}`],
    [undefined],
  ]);
});
