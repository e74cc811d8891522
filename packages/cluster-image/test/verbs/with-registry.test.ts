import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { withRegistryVerb } from '../../src/verbs/with-registry.ts';
import { desk, image } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';

const program = (text: string): string[] => [process.execPath, '--input-type=module', '-e', text];

function running(here: Place, command: string[], signal?: AbortSignal) {
  return here.run(withRegistryVerb, { locations: ['store:'], command }, signal);
}

describe('with-registry', () => {
  test('runs a command beside a registry, which is gone then', async () => {
    const here = await desk();
    const options = { proxy: true, plainHttp: [here.host] };
    const command = program(`
      const { CLUSTER_IMAGE_REGISTRY: host, CLUSTER_IMAGE_REGISTRY_URL: url } = process.env;
      const found = await fetch(url + '/v2/${here.host.replace(':', '_')}/acme/app/manifests/1');
      const { writeFile } = await import('node:fs/promises');
      await writeFile('seen', [host, found.headers.get('docker-content-digest')].join(' '));
    `);
    const { url, exitCode } = await here.run(withRegistryVerb, { ...options, command });
    expect(exitCode).toBe(0);
    const seen = await readFile(here.path('seen'), 'utf8');
    expect(seen).toBe(`${new URL(url).host} ${image.root.digest}`);
    await expect(fetch(url)).rejects.toThrow('fetch failed');
  });

  test.each([
    ['process.exit(7)', 7],
    ['process.kill(process.pid, "SIGKILL")', 137],
    ['process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 10_000)', 143],
  ])('exits as the command does: %s', async (text, code) => {
    const { exitCode } = await running(await place(), program(text));
    expect([exitCode, withRegistryVerb.exitCode?.({ url: '', exitCode })]).toEqual([code, code]);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('passes %s on', async (signal) => {
    const here = await place();
    const controller = new AbortController();
    const ended = running(
      here,
      program(`
        process.on('${signal}', () => process.exit(9));
        setTimeout(() => {}, 10_000);
        (await import('node:fs')).writeFileSync('up', '');
      `),
      controller.signal,
    );
    await expect.poll(() => readFile(here.path('up'), 'utf8').catch(() => undefined)).toBe('');
    controller.abort(signal);
    expect((await ended).exitCode).toBe(9);
  });

  test('tells of a program that is not there, and runs none where nothing can be served', async () => {
    const here = await place();
    const error = await failureOf(running(here, ['no-such-program-anywhere']));
    expect([error.code, error.message]).toEqual([
      'TOOL',
      'no-such-program-anywhere is not on the PATH',
    ]);
    const command = program(`(await import('node:fs')).writeFileSync('ran', '')`);
    const nothing = here.run(withRegistryVerb, { command });
    expect((await failureOf(nothing)).code).toBe('USAGE');
    await expect(readFile(here.path('ran'))).rejects.toThrow('ENOENT');
  });
});
