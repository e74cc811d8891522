import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Descriptor, ImageManifest } from '@cluster-image/oci';
import {
  type Fault,
  faultRegistry,
  type ImageFixture,
  imageFixture,
  noise,
  putFixture,
} from '@cluster-image/testing';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { fillRegistry } from './support/cluster.ts';
import { result, succeed } from './support/run.ts';
import { dockerRegistry, requestsSince, type Server, serveCommand } from './support/servers.ts';

/** How long the proxy is under load, in seconds: long enough to see what grows, here; more by hand. */
const seconds = Number(process.env.CLUSTER_IMAGE_LOAD_SECONDS ?? 10);

let work: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
});

afterAll(async () => {
  await rm(work, { recursive: true, force: true });
});

type Proxy = Server & { readonly host: string };

async function proxyOf(upstream: string, name: string): Promise<Proxy> {
  const options = ['--proxy', '--default-upstream', upstream, '--plain-http', upstream];
  const env = { CLUSTER_IMAGE_STORE: join(work, name) };
  const proxy = await serveCommand([], work, options, { cwd: work, env });
  onTestFinished(() => proxy.stop());
  return proxy;
}

/** What came of a request: how much, and its digest. */
interface Got {
  readonly status: number;
  readonly size: number;
  readonly digest: string;
}

async function get(url: string, agent: Agent): Promise<Got> {
  const { statusCode, body } = await request(url, { dispatcher: agent });
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of body) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { status: statusCode, size, digest: `sha256:${hash.digest('hex')}` };
}

function agents(connections: number): Agent {
  const agent = new Agent({ connections, bodyTimeout: 60_000, headersTimeout: 60_000 });
  onTestFinished(() => agent.destroy());
  return agent;
}

function partsOf({ config, layers }: ImageManifest): readonly Descriptor[] {
  return [config, ...layers];
}

async function memoryOf({ host }: Proxy): Promise<number> {
  const text = await (await fetch(`http://${host}/metrics`)).text();
  return Number(/resident_memory_bytes (\d+)/.exec(text)?.[1]);
}

function descriptorsOf({ pid }: Proxy): number {
  return readdirSync(`/proc/${pid()}/fd`).length;
}

test('50 clients that pull 100 MB at once cause one request for each part', async () => {
  const upstream = await dockerRegistry(join(work, 'upstream'), work, { accessLog: true });
  onTestFinished(() => upstream.stop());
  const block = noise('block', 1_000_000);
  const image = imageFixture({
    layers: [Buffer.alloc(60_000_000, block), Buffer.alloc(40_000_000, block)],
  });
  await fillRegistry(upstream.host, [{ reference: 'team/large:1', image }]);
  const proxy = await proxyOf(upstream.host, 'store-large');
  const agent = agents(50);
  const before = upstream.log().length;
  const pull = async (): Promise<void> => {
    const at = `http://${proxy.host}/v2/team/large`;
    const manifest = await get(`${at}/manifests/1`, agent);
    expect(manifest.digest).toBe(image.root.digest);
    for (const { digest, size } of partsOf(image.root)) {
      expect(await get(`${at}/blobs/${digest}`, agent)).toMatchObject({ digest, size });
    }
  };
  // Computing digests costs more than all the rest.
  const pullByCurl = async (): Promise<void> => {
    const at = `http://${proxy.host}/v2/team/large`;
    await succeed('curl', ['-sf', '-o', '/dev/null', `${at}/manifests/1`]);
    for (const { digest, size } of partsOf(image.root)) {
      const told = ['-sf', '-o', '/dev/null', '-w', '%{size_download}', `${at}/blobs/${digest}`];
      expect(await succeed('curl', told)).toBe(String(size));
    }
  };
  await Promise.all(Array.from({ length: 50 }, (_, at) => (at < 5 ? pull() : pullByCurl())));
  await expect.poll(() => requestsSince(upstream, before).length).toBeGreaterThan(4);
  const asked = requestsSince(upstream, before).filter(({ method }) => method === 'GET');
  const digests = asked.flatMap(({ path }) => /\/(sha256:\w+)/.exec(path)?.slice(1) ?? []);
  const expected = [image.root.digest, ...partsOf(image.root).map(({ digest }) => digest)];
  expect(digests.sort()).toEqual(expected.sort());
  expect(await memoryOf(proxy)).toBeLessThan(400_000_000);
});

test('200 clients at once, of an upstream with faults, get no wrong byte, and nothing grows', async () => {
  const faulty = randomly(0.05);
  const upstream = await faultRegistry({ rules: [faulty] });
  const images = Array.from({ length: 200 }, (_, at) => fixture(at));
  for (const [at, image] of images.entries()) {
    await putFixture(upstream.registry, `team/app-${at}`, image, '1');
  }
  const proxy = await proxyOf(upstream.host, 'store-load');
  const agent = agents(200);
  const outcomes = { pulled: 0, refused: 0, broken: 0, wrong: 0 };
  const memory: number[] = [];
  const idle = descriptorsOf(proxy);
  const end = performance.now() + seconds * 1000;
  const client = async (seed: number): Promise<void> => {
    const pick = generator(seed);
    while (performance.now() < end) {
      const at = Math.floor(pick() * images.length);
      const image = images[at];
      if (image) await pullOnce(`http://${proxy.host}/v2/team/app-${at}`, image);
    }
  };
  const pullOnce = async (at: string, { root }: ReturnType<typeof fixture>): Promise<void> => {
    try {
      const parts = [{ path: 'manifests/1', digest: root.digest }];
      for (const { digest } of partsOf(root)) parts.push({ path: `blobs/${digest}`, digest });
      for (const { path, digest } of parts) {
        const got = await get(`${at}/${path}`, agent);
        if (got.status === 200 && got.digest !== digest) outcomes.wrong += 1;
        if (got.status !== 200) {
          outcomes.refused += 1;
          return;
        }
      }
      outcomes.pulled += 1;
    } catch {
      outcomes.broken += 1;
    }
  };
  const watching = setInterval(async () => memory.push(await memoryOf(proxy)), 500);
  await Promise.all(Array.from({ length: 200 }, (_, seed) => client(seed)));
  clearInterval(watching);
  expect(outcomes.wrong).toBe(0);
  expect(outcomes.pulled).toBeGreaterThan(seconds * 20);
  expect(outcomes.refused + outcomes.broken).toBeLessThan(outcomes.pulled / 20);
  await agent.destroy();
  await expect.poll(() => descriptorsOf(proxy), { timeout: 20_000 }).toBeLessThan(idle + 45);
  // Two pieces of memory for each client that is being answered, and no more the longer it lasts.
  expect(Math.max(...memory)).toBeLessThan(500_000_000);
  await proxy.stop();
  const env = { CLUSTER_IMAGE_STORE: join(work, 'store-load') };
  expect((await result(['verify'], { env })).problems).toEqual([]);
});

/** Images of 200 kB, half of which each has in common with nine others. */
function fixture(at: number): ImageFixture & { root: ImageManifest } {
  const shared = noise(`shared ${Math.floor(at / 10)}`, 100_000);
  return imageFixture({ seed: `load ${at}`, layers: [shared, 80_000, 20_000] });
}

/** Always the same numbers below one for a seed. */
function generator(seed: number): () => number {
  let state = (seed + 1) * 2_654_435_761;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_507) + 1) >>> 0;
    return state / 2 ** 32;
  };
}

const faults: readonly Fault[] = [
  { drop: 'rst' },
  { drop: 'fin' },
  { status: 500 },
  { status: 503, headers: { 'retry-after': '1' } },
  { status: 429 },
  { cut: { at: 20_000, how: 'rst' } },
  { cut: { at: 20_000, how: 'fin' } },
  { corrupt: 10 },
  { short: 1 },
];

/** Goes wrong that often, in ever other ways. */
function randomly(share: number): { readonly fault: Fault } {
  const next = generator(1);
  return {
    get fault() {
      return next() < share ? (faults[Math.floor(next() * faults.length)] ?? {}) : {};
    },
  };
}
