import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { handler, listen } from '@cluster-image/distribution';
import { digestOf, memory } from '@cluster-image/oci';
import { putFixture } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Desk, desk, image } from '../desk.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The command as a process of its own. */
function started({ root, environment }: Desk, ...args: readonly string[]): ChildProcess {
  const child = spawn(
    process.execPath,
    ['--import', here('processes/sources.ts'), here('processes/command.ts'), ...args],
    { cwd: root, env: { ...environment.variables }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function said(stream: ChildProcess['stdout']): Promise<string> {
  let text = '';
  for await (const chunk of stream ?? []) text += chunk;
  return text;
}

/** A proxy whose upstream stops in the middle of a layer until it is released. */
async function serving() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const [, layer] = image.root.layers;
  if (!layer) throw new Error('no layer');
  const upstream = memory();
  const blob: typeof upstream.blob = async (repository, digest) => {
    const found = await upstream.blob(repository, digest);
    if (!found || digest !== layer.digest) return found;
    return {
      ...found,
      async *open() {
        yield* found.open({ start: 0, end: 1000 });
        await promise;
        yield* found.open({ start: 1000, end: found.size });
      },
    };
  };
  const slow = await listen(handler({ ...upstream, blob }));
  onTestFinished(() => slow.close(0));
  onTestFinished(() => resolve());
  const at = await desk();
  const { host } = slow.url;
  await putFixture(upstream, 'acme/app', image, '1');
  const file = at.path('endpoint');
  const options = ['--proxy', '--plain-http', host, '--default-upstream', host];
  const child = started(at, 'serve', ...options, '--endpoint-file', file);
  await expect.poll(() => readFile(file, 'utf8').catch(() => '')).not.toBe('');
  const url = `${(await readFile(file, 'utf8')).trim()}/v2/acme/app`;
  await (await fetch(`${url}/manifests/${image.root.digest}`)).text();
  return { child, url, release: resolve, layer };
}

describe('the process', () => {
  test('exits with the code of what failed, and prints only what is to be read', async () => {
    const at = await desk();
    const child = started(at, 'inspect', 'gone:1', '--json');
    const ended = once(child, 'close');
    const [out, err] = await Promise.all([said(child.stdout), said(child.stderr)]);
    expect([...(await ended), out]).toEqual([1, null, '']);
    expect(err).toBe(
      'error: the store has no image docker.io/library/gone:1\n' +
        'To read it from its registry, write docker://docker.io/library/gone:1.\n',
    );
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('ends at %s with 130', async (signal) => {
    const at = await desk({ rules: [{ match: { kind: 'blob' }, fault: { drop: 'silence' } }] });
    const from = `${at.host}/acme/app:1`;
    const child = started(at, 'pull', from, '--plain-http', at.host);
    const err = said(child.stderr);
    while (at.upstream.requests('blob').length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    child.kill(signal);
    const [code] = await once(child, 'close');
    expect([code, await err]).toEqual([130, expect.stringContaining('error: interrupted\n')]);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'S15: that serves ends at %s with 0 once it has answered what was asked',
    async (signal) => {
      const { child, url, release, layer } = await serving();
      const got = await fetch(`${url}/blobs/${layer.digest}`);
      const idle = await fetch(`${url}/manifests/1`);
      await idle.text();
      const closed = once(child, 'close');
      child.kill(signal);
      await expect.poll(() => fetch(url).catch(() => 'gone')).toBe('gone');
      release();
      expect(digestOf(new Uint8Array(await got.arrayBuffer()))).toBe(layer.digest);
      const started = performance.now();
      expect(await closed).toEqual([0, null]);
      expect(performance.now() - started).toBeLessThan(10_000);
    },
  );

  test('S15: that serves ends at once at a second signal', async () => {
    const { child, url, layer } = await serving();
    const got = await fetch(`${url}/blobs/${layer.digest}`);
    const closed = once(child, 'close');
    child.kill('SIGTERM');
    await expect.poll(() => fetch(url).catch(() => 'gone')).toBe('gone');
    child.kill('SIGTERM');
    expect(await closed).toEqual([130, null]);
    await expect(got.arrayBuffer()).rejects.toThrow('terminated');
  });

  test('with-registry exits as the command does that it runs', async () => {
    const at = await desk();
    const command = ['with-registry', '--proxy', '--', process.execPath, '-e'];
    const child = started(at, ...command, 'console.log("out"); process.exitCode = 9');
    const ended = once(child, 'close');
    expect(await said(child.stdout)).toBe('out\n');
    expect(await ended).toEqual([9, null]);
  });

  test('ends well where whoever reads it has had enough', async () => {
    const at = await desk();
    const child = started(at, 'inspect', `docker://${at.host}/acme/app:1`, '--plain-http', at.host);
    child.stdout?.destroy();
    const err = said(child.stderr);
    const [code] = await once(child, 'close');
    expect([code, await err]).toEqual([0, '']);
  });
});
