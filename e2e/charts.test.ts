import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server as HttpServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { result, succeed } from './support/run.ts';
import { dockerRegistry, freePort, type RegistryServer, serveCommand } from './support/servers.ts';

/** Charts as helm itself packs, pushes and indexes them, and pulls them again. */

const name = 'registry.example/acme/charts:1.0.0';

let work: string;
let env: Readonly<Record<string, string>>;
let registry: RegistryServer;
let web: HttpServer;
let site: string;
let context: string;
let hosts: readonly string[];
let packed: Buffer;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  env = { CLUSTER_IMAGE_STORE: join(work, 'store') };
  registry = await dockerRegistry(join(work, 'registry'), work);
  for (const [chart, version] of [
    ['pushed', '1.2.0+build.5'],
    ['indexed', '2.0.0'],
    ['indexed', '2.1.0'],
  ] as const) {
    await chartDirectory(chart, version);
    await succeed('helm', ['package', join(work, chart), '-d', join(work, 'site')]);
  }
  const archive = join(work, 'site', 'pushed-1.2.0+build.5.tgz');
  packed = await readFile(archive);
  await succeed('helm', ['push', archive, `oci://${registry.host}/charts`, '--plain-http']);
  await rm(archive);
  await succeed('helm', ['repo', 'index', join(work, 'site')]);
  site = await serveSite(join(work, 'site'));
  context = join(work, 'cluster');
  hosts = ['--plain-http', registry.host, '--plain-http', site];
  await mkdir(join(context, 'images/shim'), { recursive: true });
  // Marks the root of the workspace.
  await writeFile(join(context, 'nx.json'), '{}');
  await writeFile(
    join(context, 'Kubefile'),
    'FROM scratch\nCOPY charts ./charts\nCOPY registry ./registry\n',
  );
  await writeFile(
    join(context, 'cluster-image.json'),
    JSON.stringify({
      charts: {
        'charts/pushed.tgz': { repository: `oci://${registry.host}/charts`, version: '^1' },
        'charts/indexed.tgz': { repository: `http://${site}`, version: '2.x' },
      },
    }),
  );
  await writeFile(
    join(context, 'images/shim/charts'),
    `${registry.host}/charts/pushed:1.2.0_build.5\n`,
  );
});

afterAll(async () => {
  web?.close();
  await registry?.stop();
  await rm(work, { recursive: true, force: true });
});

async function chartDirectory(chart: string, version: string): Promise<void> {
  const directory = join(work, chart);
  await mkdir(join(directory, 'templates'), { recursive: true });
  await writeFile(
    join(directory, 'Chart.yaml'),
    `apiVersion: v2\nname: ${chart}\nversion: ${version}\ndescription: ${'much is said of it '.repeat(10)}\n`,
  );
  await writeFile(
    join(directory, 'templates/map.yaml'),
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\n',
  );
}

async function serveSite(directory: string): Promise<string> {
  web = createServer(async (request, response) => {
    const body = await readFile(join(directory, request.url ?? '')).catch(() => undefined);
    response.writeHead(body ? 200 : 404).end(body);
  });
  web.listen(await freePort(), '127.0.0.1');
  await once(web, 'listening');
  const address = web.address();
  return typeof address === 'object' && address ? `127.0.0.1:${address.port}` : '';
}

const digestOf = (body: Uint8Array): string =>
  `sha256:${createHash('sha256').update(body).digest('hex')}`;

describe('charts that helm made', () => {
  test('are pinned, and are in the image with the bytes that helm packed', async () => {
    const locked = await result(['lock', context, ...hosts], { env });
    const indexed = await readFile(join(work, 'site/indexed-2.1.0.tgz'));
    expect(locked.changes.slice(1)).toEqual([
      { reference: 'charts/indexed.tgz', to: `2.1.0@${digestOf(indexed)}` },
      { reference: 'charts/pushed.tgz', to: `1.2.0+build.5@${digestOf(packed)}` },
    ]);
    await result(['build', context, '-t', name, ...hosts], { env });
    const layout = join(work, 'layout');
    await result(['save', name, `oci:${layout}:1`], { env });
    const files = join(work, 'files');
    await mkdir(files);
    for (const layer of await readdir(join(layout, 'blobs/sha256'))) {
      const path = join(layout, 'blobs/sha256', layer);
      await succeed('sh', ['-c', `tar -xf "$1" -C "$2" 2>/dev/null || true`, 'sh', path, files]);
    }
    expect(await readFile(join(files, 'charts/pushed.tgz'))).toEqual(packed);
    expect(await readFile(join(files, 'charts/indexed.tgz'))).toEqual(indexed);
  });

  test('are built without a network from what the store has', async () => {
    const copied = join(work, 'copied');
    await cp(context, copied, { recursive: true });
    const built = await result(['build', context, '-t', name, ...hosts], { env });
    web.close();
    web.closeAllConnections();
    await registry.stop();
    try {
      const again = await result(['build', copied, '-t', 'other:1'], { env });
      expect([again.digest, again.fetched]).toEqual([built.digest, 0]);
    } finally {
      registry = await dockerRegistry(join(work, 'registry'), work);
    }
  });

  test('and lie in registry/ are pulled from there by helm and skopeo', async () => {
    const server = await serveCommand([name], work, ['--store', join(work, 'store')]);
    try {
      const out = join(work, 'pulled');
      await mkdir(out);
      const chart = `oci://${server.host}/charts/pushed`;
      await succeed('helm', [
        ...['pull', chart, '--version', '1.2.0+build.5'],
        ...['--plain-http', '-d', out],
      ]);
      expect(await readFile(join(out, 'pushed-1.2.0+build.5.tgz'))).toEqual(packed);
      const tag = `docker://${server.host}/charts/pushed:1.2.0_build.5`;
      const target = join(work, 'skopeo');
      await succeed('skopeo', ['copy', '--src-tls-verify=false', tag, `dir:${target}`]);
      const [, hex = ''] = digestOf(packed).split(':');
      expect(await readFile(join(target, hex))).toEqual(packed);
    } finally {
      await server.stop();
    }
  });
});
