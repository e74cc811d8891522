import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readConfiguration, workspaceRoot } from '../src/configuration.ts';
import { contextDirectory, putFiles } from './context.ts';
import { failureOf } from './failure.ts';

/** What is wrong with a configuration, with `PATH` for its file. */
async function faultIn(text: string | Uint8Array): Promise<string> {
  const root = await contextDirectory({ 'nx.json': '{}', 'cluster-image.json': text });
  const error = await failureOf(readConfiguration(root));
  expect(error.code).toBe('INPUT_INVALID');
  return error.message.replace(join(root, 'cluster-image.json'), 'PATH');
}

describe('the configuration of a context', () => {
  test('is named in errors from where the command runs', async () => {
    const root = await contextDirectory({ 'nx.json': '{}', 'a/cluster-image.json': '[]' });
    for (const [cwd, name] of [
      ['.', 'a/cluster-image.json'],
      ['a', 'cluster-image.json'],
      ['b', '../a/cluster-image.json'],
    ] as const) {
      const { message } = await failureOf(readConfiguration(join(root, 'a'), join(root, cwd)));
      expect(message.slice(0, name.length + 1)).toBe(`${name}:`);
    }
  });

  test('is empty where there is none', async () => {
    const root = await contextDirectory({ 'nx.json': '{}' });
    expect(await readConfiguration(root)).toEqual({ registries: {} });
    expect(await readConfiguration(join(root, 'not/there'))).toEqual({ registries: {} });
  });

  test('is its own over that of the workspace, host by host', async () => {
    const root = await contextDirectory({
      'nx.json': '{}',
      'cluster-image.json': JSON.stringify({
        platforms: ['linux/amd64'],
        maxLayers: 50,
        registries: { 'a.io': { plainHttp: true }, 'b.io': { insecure: true } },
      }),
      'apps/one/cluster-image.json': JSON.stringify({
        $schema: '../x.json',
        platforms: ['linux/arm64'],
        buildArguments: { A: '1' },
        registries: { 'a.io': { tokenHosts: ['c.io'] } },
      }),
    });
    expect(await readConfiguration(join(root, 'apps/one'))).toEqual({
      $schema: '../x.json',
      platforms: ['linux/arm64'],
      maxLayers: 50,
      buildArguments: { A: '1' },
      registries: { 'a.io': { tokenHosts: ['c.io'] }, 'b.io': { insecure: true } },
    });
    // Neither that of a directory in between nor that of a neighbour counts.
    await putFiles(root, { 'apps/cluster-image.json': '{"maxLayers": 60}' });
    expect((await readConfiguration(join(root, 'apps/two'))).maxLayers).toBe(50);
  });

  test('has paths that are relative to the file they are in', async () => {
    const mirrors = [
      { endpointFile: 'dist/endpoint' },
      { endpointFile: '/run/endpoint', path: '{host}' },
      'https://m.io/{host}',
    ];
    const root = await contextDirectory({
      'nx.json': '{}',
      'cluster-image.json': JSON.stringify({ registries: { '*': { mirrors } } }),
    });
    expect((await readConfiguration(join(root, 'a'))).registries).toEqual({
      '*': {
        mirrors: [
          { endpointFile: join(root, 'dist/endpoint'), path: '' },
          { endpointFile: '/run/endpoint', path: '{host}' },
          'https://m.io/{host}',
        ],
      },
    });
  });
});

describe('a configuration that is wrong is told by file, line and key', () => {
  test.each([
    ['', ':1: ends too early'],
    ['{\n"maxLayers": 10,\n}', ':3: is not JSON at }'],
    ['{\n"platform": []}', ':2: platform: nothing of that name is known'],
    ['{\n"maxLayers": 20,\n"maxLayers": 30}', ':3: names maxLayers twice'],
    ['{\n"maxLayers": "20"}', ':2: maxLayers: '],
    ['{\n"maxLayers": 9}', ':2: maxLayers: '],
    ['{\n"maxLayers": 10.5}', ':2: maxLayers: '],
    ['{\n"platforms": "linux/amd64"}', ':2: platforms: '],
    ['{\n"platforms": ["linux/amd64",\n"amd64 linux"]}', ':3: platforms.1: not a platform'],
    ['{\n"buildArguments": {\n"A": 1}}', ':3: buildArguments.A: '],
    ['{\n"registries": {\n"https://a.io": {}}}', ':3: registries.https://a.io: '],
    ['{\n"registries": {\n"a.io/b": {}}}', ':3: registries.a.io/b: '],
    ['{"registries": {"a.io": {\n"plainHTTP": true}}}', ':2: registries.a.io.plainHTTP: nothing'],
    ['{"registries": {"a.io": {\n"plainHttp": "yes"}}}', ':2: registries.a.io.plainHttp: '],
    ['{"registries": {"a.io": {"mirrors": [\n"m.io"]}}}', ':2: registries.a.io.mirrors.0: '],
    ['{"registries": {"a.io": {"mirrors": [\n"ftp://m.io"]}}}', ':2: registries.a.io.mirrors.0: '],
    ['{"registries": {"a.io": {"mirrors": [\n{"path": ""}]}}}', ':2: registries.a.io.mirrors.0'],
    [
      '{"registries": {"*": {\n"plainHttp": true}}}',
      ':2: registries.*.plainHttp: is said of a host',
    ],
    [
      '{"registries": {"*": {\n"insecure": false}}}',
      ':2: registries.*.insecure: is said of a host',
    ],
    ['{"registries": {"*": {\n"tokenHosts": []}}}', ':2: registries.*.tokenHosts: is said of a'],
    ['[]', ': Invalid input: expected object'],
    ['null', ': Invalid input: expected object'],
    ['"\u001b[2J"', ': is not JSON'],
    ['{"__proto__": {"maxLayers": 20}}', ':1: __proto__: nothing of that name is known'],
    ['<<<<<<< HEAD\n{}', ':1: has conflict markers'],
    [`${'['.repeat(100_000)}`, ':1: '],
  ])('%j', async (text, fault) => {
    const message = await faultIn(text);
    expect(message.slice(0, `PATH${fault}`.length)).toBe(`PATH${fault}`);
  });

  test('without the password that is in it', async () => {
    const mirrors = ['https://me:canary@m.io', 'https://canary@m.io', 'me:canary@m.io'];
    for (const mirror of mirrors) {
      const text = JSON.stringify({ registries: { 'a.io': { mirrors: [mirror] } } }, null, 1);
      const message = await faultIn(text);
      expect(message).toContain('PATH:5: registries.a.io.mirrors.0: ');
      expect(message).not.toContain('canary');
    }
  });

  test('when it is larger than anybody writes', async () => {
    expect(await faultIn(`{}${' '.repeat(1024 * 1024)}`)).toBe('PATH has over 1048576 bytes');
  });

  test('when it is no text', async () => {
    expect(await faultIn(new Uint8Array([0xff, 0xfe, 0, 0]))).toContain('PATH:1: is not JSON');
  });

  test('when it is a directory', async () => {
    const root = await contextDirectory({ 'nx.json': '{}', 'cluster-image.json/x': '' });
    const error = await failureOf(readConfiguration(root));
    expect([error.code, error.message]).toEqual([
      expect.stringMatching(/^(INPUT_INVALID|FILE_SYSTEM)$/),
      expect.stringContaining(join(root, 'cluster-image.json')),
    ]);
  });
});

describe('the root of a workspace', () => {
  test.each(['nx.json', 'turbo.json', '.git', 'pnpm-workspace.yaml'])(
    'is the nearest directory with %s',
    async (mark) => {
      const root = await contextDirectory({ [mark]: '', 'a/b/x': '' });
      expect(await workspaceRoot(join(root, 'a/b'))).toBe(root);
      expect(await workspaceRoot(root)).toBe(root);
      await putFiles(root, { [`a/${mark}/x`]: '' });
      expect(await workspaceRoot(join(root, 'a/b'))).toBe(join(root, 'a'));
      await rm(join(root, 'a', mark), { recursive: true });
      expect(await workspaceRoot(join(root, 'a/b'))).toBe(root);
    },
  );

  test('is not where a package says how it differs from it', async () => {
    const root = await contextDirectory({
      'turbo.json': '{ "tasks": {} }',
      'a/turbo.json': '// its own\n{ "extends": ["//"], "tasks": {} }',
    });
    expect(await workspaceRoot(join(root, 'a'))).toBe(root);
  });
});
