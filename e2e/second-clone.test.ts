import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ClusterContext, clusterContext } from './support/cluster.ts';
import { service } from './support/nx-projects.ts';
import { type NxWorkspace, newNxWorkspace, tasksIn } from './support/nx-workspace.ts';
import { succeed } from './support/run.ts';
import {
  cacheServer,
  dockerRegistry,
  type RegistryServer,
  requestsSince,
  type Server,
} from './support/servers.ts';

const stream = '--outputStyle=stream';

let work: string;
/** What the team has: it holds the remote cache, the bytes of images, and what is released. */
let registry: RegistryServer;
let cache: Server & { readonly host: string };
let context: ClusterContext;
let first: NxWorkspace;
let second: NxWorkspace;
let env: Readonly<Record<string, string>>;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  registry = await dockerRegistry(join(work, 'registry'), work, { accessLog: true });
  const location = `docker://${registry.host}/team/cache`;
  cache = await cacheServer(location, work, ['--access-log', '--plain-http', registry.host]);
  context = await clusterContext(join(work, 'images'));
  env = { NX_SELF_HOSTED_REMOTE_CACHE_SERVER: `http://${cache.host}` };
  first = await newNxWorkspace(join(work, 'first'));
  await first.nx(['g', '@cluster-image/nx:init', '--skipFormat']);
  await cp(context.path, join(first.root, 'clusters/edge'), { recursive: true });
  const list = await first.read('clusters/edge/images/shim/list');
  const mirrors = [
    { url: `http://${registry.host}/blobs/{host}`, digestOnly: true },
    `http://${context.upstream.host}/{host}`,
  ];
  await first.write({
    ...service('api'),
    'cluster-image.json': JSON.stringify({
      registries: { '*': { mirrors }, [registry.host]: { plainHttp: true } },
    }),
    'clusters/edge/project.json': '{ "name": "edge" }\n',
    'clusters/edge/images/shim/list': `${list}registry.example/acme/api:dev\n`,
    'clusters/edge/cluster-image.json': JSON.stringify({
      workspaceImages: { 'registry.example/acme/api': 'oci:../../apps/api/dist/image' },
    }),
  });
  await first.nx(['run', 'edge:lock-images']);
  await first.git('add', '-A');
  await first.git('commit', '-q', '-m', 'all');
  await first.nx(['run-many', '-t', 'build-image'], env);
  const to = ['--to', `docker://${registry.host}/blobs`, '--all', '--keepHosts'];
  await first.nx(['run', 'edge:sync-registry', ...to], env);
  await context.upstream.stop();
  second = await newNxWorkspace(join(work, 'second'));
  await second.git('fetch', '-q', first.root, 'main');
  await second.git('reset', '-q', '--hard', 'FETCH_HEAD');
});

afterAll(async () => {
  for (const server of [cache, context?.upstream, registry]) await server?.stop();
  await rm(work, { recursive: true, force: true });
});

const digest = 'clusters/edge/dist/image.digest';

test('a second clone has everything from the cache, in kilobytes, with the upstream stopped', async () => {
  const before = cache.log().length;
  const printed = await second.nx(['run-many', '-t', 'build-image', stream], env);
  expect(tasksIn(printed)).toEqual({
    'api:build': 'cached',
    'api:image': 'cached',
    'edge:cache-images': 'cached',
    'edge:build-image': 'cached',
  });
  expect(printed.match(/\[remote cache\]/g)).toHaveLength(4);
  expect(await second.read(digest)).toBe(await first.read(digest));
  const gets = cache
    .log()
    .slice(before)
    .matchAll(/^200 GET \/v1\/cache\/\d+ (\d+)$/gm);
  const sizes = [...gets].map(([, size]) => Number(size));
  expect(sizes).toHaveLength(4);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  expect(bytes).toBeGreaterThan(1_000);
  expect(bytes).toBeLessThan(50_000);
});

test('and delivers it, with the bytes from the registry that the cache lies in', async () => {
  const before = registry.log().length;
  const location = `docker://${registry.host}/acme/edge:1.0.0`;
  const printed = await second.nx(['run', 'edge:push-image', '--to', location, stream], env);
  expect(printed).toContain('edge:build-image: parts of the image are not in the store');
  expect(printed).toContain(`digest  ${(await first.read(digest)).trim()}`);
  const inspect = ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', location];
  expect(await succeed('skopeo', inspect)).toBe(await first.read(digest));
  const fetched = requestsSince(registry, before).filter(
    ({ method, path, status }) =>
      method === 'GET' && status === 200 && path.startsWith('/v2/blobs/'),
  );
  // Every layer once, whatever images it is in; then manifests and configs.
  const layers = fetched.filter(({ size }) => size > 1_000).map(({ size }) => size);
  expect(layers.sort()).toEqual(
    [2_000_000, 3_000_000, 5_000, 400_000, 400_000, 400_000, 1_500_000].sort(),
  );
  expect(new Set(fetched.map(({ path }) => path)).size).toBe(fetched.length);
  const bytes = fetched.reduce((sum, { size }) => sum + size, 0);
  expect(bytes - layers.reduce((sum, size) => sum + size, 0)).toBeLessThan(10_000);
});
