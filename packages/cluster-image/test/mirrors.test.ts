import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { handler, type Listening, listen } from '@cluster-image/distribution';
import { createContext, memory } from '@cluster-image/oci';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Configuration } from '../src/configuration.ts';
import { hostsOf } from '../src/mirrors.ts';
import { failureOf } from './failure.ts';

type Mirrors = NonNullable<NonNullable<Configuration['registries']>[string]['mirrors']>;

interface Asked {
  readonly patience?: number;
  readonly signal?: AbortSignal;
}

/** The first mirror of a.io, as the network is told it. */
function mirrorOf(mirror: Mirrors[number], { patience, signal }: Asked = {}) {
  const registries = { 'a.io': { mirrors: [mirror] } };
  const context = createContext(signal && { signal });
  const [found] = hostsOf({ registries }, [], [], context, patience)['a.io']?.mirrors ?? [];
  if (!found) throw new Error('no mirror');
  return found;
}

async function registry(): Promise<Listening> {
  const server = await listen(handler(memory()));
  onTestFinished(() => server.close(0));
  return server;
}

async function endpointFile(text?: string): Promise<string> {
  const path = join(await temporaryDirectory(), 'endpoint');
  if (text !== undefined) await writeFile(path, text);
  return path;
}

describe('what is special about registries', () => {
  test('is what configuration and flags say, by host', () => {
    const hosts = hostsOf(
      { registries: { 'a.io': { insecure: true, tokenHosts: ['t.io'] }, 'b.io': {} } },
      ['b.io', 'c.io'],
      ['c.io'],
      createContext(),
    );
    expect(hosts).toEqual({
      'a.io': { insecure: true, tokenHosts: ['t.io'] },
      'b.io': { plainHttp: true },
      'c.io': { plainHttp: true, insecure: true },
    });
    expect(hostsOf({}, [], [], createContext())).toEqual({});
  });

  test('keeps the order of mirrors', async () => {
    const mirrors = ['https://one.io', 'https://two.io/{host}', 'http://three.io/x/{host}/{host}'];
    const hosts = hostsOf({ registries: { '*': { mirrors } } }, [], [], createContext());
    const urls = (hosts['*']?.mirrors ?? []).map(async ({ url }) => String(await url('docker.io')));
    expect(await Promise.all(urls)).toEqual([
      'https://one.io/',
      'https://two.io/docker.io',
      'http://three.io/x/docker.io/docker.io',
    ]);
  });
});

test('a mirror may be one for what is pinned only', async () => {
  const mirror = mirrorOf({ url: 'https://one.io/{host}', digestOnly: true });
  expect((await mirror.url('a.io')).href).toBe('https://one.io/a.io');
  expect(mirror.digestOnly).toBe(true);
  expect(mirrorOf('https://one.io').digestOnly).toBe(false);
});

test('a host with a port is part of a path as a proxy has it', async () => {
  const mirror = mirrorOf('http://b.io/{host}/x');
  expect((await mirror.url('a.io:5000')).href).toBe('http://b.io/a.io_5000/x');
});

describe('a mirror that runs beside the build', () => {
  test.each([
    ['', ''],
    ['{host}', 'a.io'],
    ['/x/{host}/', 'x/a.io/'],
  ])('is found by its file, and its images below %j', async (path, below) => {
    const { url } = await registry();
    const file = await endpointFile(`  ${url.origin}\n`);
    const mirror = mirrorOf({ endpointFile: file, path });
    expect(String(await mirror.url('a.io'))).toBe(`${url.origin}/${below}`);
  });

  test('is waited for: its file, its words, and that it listens', async () => {
    const file = await endpointFile();
    const mirror = mirrorOf({ endpointFile: file, path: '' });
    let found: string | undefined;
    const waiting = mirror.url('a.io').then((url) => {
      found = url.origin;
    });
    const stillWaiting = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 250));
      expect(found).toBeUndefined();
    };
    await stillWaiting();
    await writeFile(file, '');
    await stillWaiting();
    // That of an earlier one, which is gone.
    const gone = await listen(handler(memory()));
    await gone.close(0);
    await writeFile(file, `${gone.url.origin}\n`);
    await stillWaiting();
    const { url } = await registry();
    await writeFile(file, `${url.origin}\n`);
    await waiting;
    expect(found).toBe(url.origin);
  });

  test('that does not come up is told by its file, and waited for once', async () => {
    const file = await endpointFile();
    const mirror = mirrorOf({ endpointFile: file, path: '' }, { patience: 2_000 });
    const error = await failureOf(mirror.url('a.io'));
    expect([error.code, error.message, error.hint]).toEqual([
      'NETWORK',
      `no registry came up at ${file}`,
      expect.stringContaining(`--endpoint-file ${file}`),
    ]);
    const again = performance.now();
    await failureOf(mirror.url('b.io'));
    expect(performance.now() - again).toBeLessThan(1_500);
    const { url } = await registry();
    await writeFile(file, url.origin);
    expect((await mirror.url('a.io')).origin).toBe(url.origin);
  });

  test.each(['localhost:5000', 'file:///etc/passwd', 'https://me:canary@m.io', '{"canary": 1}'])(
    'whose file holds something else is told by that file: %s',
    async (text) => {
      const file = await endpointFile(text);
      const error = await failureOf(mirrorOf({ endpointFile: file, path: '' }).url('a.io'));
      expect([error.code, error.message]).toEqual([
        'INPUT_INVALID',
        `${file} does not hold the URL of a registry`,
      ]);
    },
  );

  test('whose file has no end is not read to its end', async () => {
    const file = await endpointFile('x'.repeat(5000));
    const error = await failureOf(mirrorOf({ endpointFile: file, path: '' }).url('a.io'));
    expect([error.code, error.message]).toEqual(['INPUT_INVALID', expect.stringContaining(file)]);
  });

  test('keeps nobody who interrupts', async () => {
    const controller = new AbortController();
    const options = { endpointFile: await endpointFile(), path: '' };
    const waiting = mirrorOf(options, { signal: controller.signal }).url('a.io');
    setTimeout(() => controller.abort(), 50);
    expect((await failureOf(waiting)).code).toBe('ABORTED');
  });
});
