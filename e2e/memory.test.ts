import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageFixture, noise } from '@cluster-image/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fillRegistry } from './support/cluster.ts';
import { clusterImage, result } from './support/run.ts';
import { dockerRegistry, type RegistryServer } from './support/servers.ts';

/** What no verb may need, whatever it moves, in bytes. */
const limit = 256 * 1024 * 1024;

let work: string;
let upstream: RegistryServer;
let target: RegistryServer;
let context: string;
let env: Readonly<Record<string, string>>;
const name = 'registry.example/large:1';

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  upstream = await dockerRegistry(join(work, 'upstream'), work);
  target = await dockerRegistry(join(work, 'target'), work);
  env = { CLUSTER_IMAGE_STORE: join(work, 'store') };
  context = join(work, 'context');
  await mkdir(join(context, 'images/shim'), { recursive: true });
  // Eight blobs of 200 MB at a time: many times the memory there is for them.
  const block = noise('block', 10_000_000);
  const large = new Uint8Array(200_000_000);
  const references: string[] = [];
  for (let at = 0; at < 8; at++) {
    for (let offset = 0; offset < large.length; offset += block.length) large.set(block, offset);
    large[0] = at;
    const reference = `${upstream.host}/large/image-${at}:1`;
    const image = imageFixture({ seed: `large ${at}`, layers: [large] });
    await fillRegistry(upstream.host, [{ reference: `large/image-${at}:1`, image }]);
    references.push(reference);
  }
  await writeFile(join(context, 'images/shim/list'), `${references.join('\n')}\n`);
  await writeFile(join(context, 'Kubefile'), 'FROM scratch\nCOPY registry ./registry\n');
  await result(['lock', context, '--plain-http', upstream.host], { env });
});

afterAll(async () => {
  await upstream?.stop();
  await target?.stop();
  await rm(work, { recursive: true, force: true });
});

test.each([
  ['cache', () => ['cache', context, '--plain-http', upstream.host]],
  ['build', () => ['build', context, '-t', name]],
  ['push', () => ['push', name, `docker://${target.host}/large:1`, '--plain-http', target.host]],
  ['save', () => ['save', name, `docker-archive:${join(work, 'large.tar')}`]],
])('%s of 1.6 GB in large blobs needs less than 256 MiB', async (_, args) => {
  const { code, stderr, peak } = await clusterImage(args(), { env });
  expect(stderr).not.toContain('error');
  expect(code).toBe(0);
  expect(peak).toBeGreaterThan(0);
  expect(peak).toBeLessThan(limit);
});
