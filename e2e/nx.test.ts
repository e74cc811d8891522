import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunOptions, result, root, succeed } from './support/run.ts';
import { dockerRegistry } from './support/servers.ts';

let work: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
});

afterAll(async () => {
  await rm(work, { recursive: true, force: true });
});

function environment(name: string): Readonly<Record<string, string>> {
  return {
    NX_DAEMON: 'false',
    NX_TUI: 'false',
    NX_CACHE_DIRECTORY: join(work, name, 'nx-cache'),
    // Nx remembers beside the cache what is in it; the one without the other restores nothing.
    NX_WORKSPACE_DATA_DIRECTORY: join(work, name, 'nx-data'),
    CLUSTER_IMAGE_STORE: join(work, name, 'store'),
  };
}

/** What Nx prints, without the colours that it has on some machines. */
async function nx(args: readonly string[], options: RunOptions): Promise<string> {
  return stripVTControlCharacters(await succeed('npx', ['nx', ...args], options));
}

describe('the example workspace', () => {
  const outputs = join(root, 'e2e/example/cluster/dist');
  const digestOf = async (): Promise<string> =>
    (await readFile(join(outputs, 'image.digest'), 'utf8')).trim();
  let first: string;

  beforeAll(async () => {
    await rm(outputs, { recursive: true, force: true });
  });

  test('builds its cluster image, shows each image, and ends with digest, size and place', async () => {
    const printed = await nx(['run', 'cluster:build-image'], { env: environment('one') });
    first = await digestOf();
    expect(first).toMatch(/^sha256:[0-9a-f]{64}$/);
    for (const image of ['docker.io/acme/web:1.0.0', 'quay.io/acme/helm:4.1.4']) {
      expect(printed).toMatch(new RegExp(`\\d MB +${image.replaceAll('.', '\\.')}`));
    }
    expect(printed).toContain(`digest  ${first}`);
    expect(printed).toMatch(/size {4}\d+ MB in \d+ layers, with 3 images/);
    expect(printed).toContain('oci:e2e/example/cluster/dist/image');
  });

  test('is a cache hit the second time', async () => {
    const printed = await nx(['run', 'cluster:build-image'], { env: environment('one') });
    expect(printed).toMatch(/cluster:build-image {2}\[(?:local cache|existing outputs)/);
    expect(await digestOf()).toBe(first);
  });

  test('is restored where its outputs are gone, byte for byte, in kilobytes', async () => {
    const kept = join(work, 'kept');
    await cp(outputs, kept, { recursive: true });
    await rm(outputs, { recursive: true });
    const printed = await nx(['run', 'cluster:build-image'], { env: environment('one') });
    expect(printed).toContain('[local cache]');
    expect(await digestOf()).toBe(first);
    await succeed('diff', ['-r', kept, outputs]);
    expect(await sizeOf(join(work, 'one/nx-cache'))).toBeLessThan(200_000);
  });

  test('is built to the same digest with nothing cached', async () => {
    await rm(outputs, { recursive: true });
    await nx(['run', 'cluster:build-image'], { env: environment('two') });
    expect(await digestOf()).toBe(first);
  });

  test('is pushed from a cache hit on a machine whose store is empty', async () => {
    const target = await dockerRegistry(join(work, 'target'), work);
    try {
      const env = { ...environment('one'), CLUSTER_IMAGE_STORE: join(work, 'three/store') };
      const location = `docker://${target.host}/acme/cluster:1.0.0`;
      const args = ['run', 'cluster:push-image', '--to', location, '--plainHttp', target.host];
      const printed = await nx(args, { env });
      expect(printed).toContain('building it again');
      expect(printed).toContain(`digest  ${first}`);
      const inspect = ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', location];
      expect((await succeed('skopeo', inspect)).trim()).toBe(first);
    } finally {
      await target.stop();
    }
  });

  test('saves an archive and materialises its registry', async () => {
    const env = environment('one');
    const archive = join(work, 'cluster.tar');
    await nx(['run', 'cluster:save-image', '--to', `docker-archive:${archive}`], { env });
    expect((await result(['verify', `docker-archive:${archive}`])).problems).toEqual([]);
    const registry = join(work, 'registry');
    await nx(['run', 'cluster:sync-registry', '--to', `registry:${registry}`], { env });
    expect((await result(['verify', `registry:${registry}`])).problems).toEqual([]);
  });

  test('is in step with its lockfile', async () => {
    await nx(['run', 'cluster:lock-images', '--check'], { env: environment('one') });
  });
});

async function sizeOf(directory: string): Promise<number> {
  return Number((await succeed('du', ['-sb', directory])).split('\t')[0]);
}
