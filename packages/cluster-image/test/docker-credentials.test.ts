import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Credential, Credentials } from '@cluster-image/distribution';
import { createContext, type Event } from '@cluster-image/oci';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { dockerCredentials } from '../src/docker-credentials.ts';
import { contextDirectory } from './context.ts';
import { failureOf } from './failure.ts';
import { pathWith } from './tools.ts';

const encoded = (text: string): string => Buffer.from(text).toString('base64');
const basic = (username: string, password: string) => ({ basic: { username, password } });

interface Told {
  readonly ask: Credentials;
  readonly warnings: readonly string[];
  /** Where the config file lies. */
  readonly path: string;
}

interface Given {
  /** The shell script of docker-credential-desk. */
  readonly helper?: string;
  readonly timeout?: number;
  readonly signal?: AbortSignal;
  readonly variables?: Readonly<Record<string, string>>;
}

async function told(config: unknown, given: Given = {}): Promise<Told> {
  const text = typeof config === 'string' ? config : JSON.stringify(config);
  const home = await contextDirectory(config === undefined ? {} : { '.docker/config.json': text });
  const warnings: string[] = [];
  const report = (event: Event): void => {
    if (event.type === 'warning') warnings.push(event.message);
  };
  const { helper, timeout, signal } = given;
  const PATH =
    helper === undefined ? process.env.PATH : await pathWith('docker-credential-desk', helper);
  const ask = dockerCredentials(
    { cwd: '/', variables: { HOME: home, PATH, ...given.variables } },
    createContext({ report, ...(signal && { signal }) }),
    timeout,
  );
  return { ask, warnings, path: join(home, '.docker/config.json') };
}

/** What is told of a host, but for where it comes from. */
async function secretOf({ ask }: Told, host = 'a.io'): Promise<Partial<Credential> | undefined> {
  const found = await ask(host);
  if (!found) return undefined;
  const { source: _, ...secret } = found;
  return secret;
}

describe('A12: credentials in docker’s config file', () => {
  test.each([
    [{ auth: encoded('me:pass') }, basic('me', 'pass')],
    [{ auth: encoded('me:pass:word\u0000\u0000') }, basic('me', 'pass:word')],
    [{ auth: encoded('me:') }, basic('me', '')],
    [{ auth: encoded('mé:pä$$ ✓') }, basic('mé', 'pä$$ ✓')],
    [{ username: 'me', password: 'pass' }, basic('me', 'pass')],
    [{ auth: encoded('me:pass'), username: 'other', password: 'x' }, basic('me', 'pass')],
    [{ auth: encoded('me:'), identitytoken: 'refresh' }, { identityToken: 'refresh' }],
    [{ identitytoken: 'refresh', registrytoken: 'bearer' }, { registryToken: 'bearer' }],
    [{ email: 'me@a.io' }, undefined],
    [{}, undefined],
    [{ auth: '' }, undefined],
    [{ username: 'me' }, undefined],
  ])('%j', async (entry, secret) => {
    expect(await secretOf(await told({ auths: { 'a.io': entry } }))).toEqual(secret);
  });

  test('are named by their file, never by what they are', async () => {
    const here = await told({ auths: { 'a.io': { auth: encoded('me:canary') } } });
    expect((await here.ask('a.io'))?.source).toBe(here.path);
  });

  test.each([
    ['a.io', 'a.io'],
    ['https://a.io', 'a.io'],
    ['http://a.io/v1/', 'a.io'],
    ['a.io:5000', 'a.io:5000'],
    ['a.io/team', 'a.io'],
    ['https://index.docker.io/v1/', 'docker.io'],
    ['index.docker.io', 'docker.io'],
    ['registry-1.docker.io', 'docker.io'],
    ['docker.io', 'docker.io'],
  ])('under %s are those of %s', async (key, host) => {
    const here = await told({ auths: { [key]: { auth: encoded('me:pass') } } });
    expect(await secretOf(here, host)).toEqual(basic('me', 'pass'));
  });

  test.each(['b.io', 'a.io:443', 'x.a.io', 'a.io.evil', 'a', 'constructor', '__proto__'])(
    'of a.io are not those of %s',
    async (host) => {
      const here = await told({ auths: { 'a.io': { auth: encoded('me:pass') } } });
      expect(await here.ask(host)).toBeUndefined();
    },
  );

  test('are found behind an entry that holds none', async () => {
    const auths = { 'https://a.io/v1/': {}, 'a.io': { auth: encoded('me:pass') } };
    expect(await secretOf(await told({ auths }))).toEqual(basic('me', 'pass'));
  });

  test('are there for nobody without the file', async () => {
    expect(await (await told(undefined)).ask('a.io')).toBeUndefined();
    expect(await (await told({})).ask('a.io')).toBeUndefined();
  });

  test('are read where DOCKER_CONFIG says', async () => {
    const elsewhere = await contextDirectory({
      'config.json': JSON.stringify({ auths: { 'a.io': { auth: encoded('me:other') } } }),
    });
    const config = { auths: { 'a.io': { auth: encoded('me:home') } } };
    const variables = { DOCKER_CONFIG: elsewhere };
    expect(await secretOf(await told(config, { variables }))).toEqual(basic('me', 'other'));
    const unset = { DOCKER_CONFIG: '' };
    expect(await secretOf(await told(config, { variables: unset }))).toEqual(basic('me', 'home'));
  });

  test('beside what docker keeps there too', async () => {
    const config = {
      auths: { 'a.io': { auth: encoded('me:pass'), email: '' } },
      HttpHeaders: { 'User-Agent': 'Docker-Client' },
      currentContext: 'x',
      plugins: {},
    };
    expect(await secretOf(await told(config))).toEqual(basic('me', 'pass'));
  });

  test.each([
    '',
    'canary',
    '{"auths": {"a.io": {"auth": "canary"}}',
    '[{"auths": "canary"}]',
    '{"auths": {"a.io": "canary"}}',
    '{"auths": {"a.io": {"auth": 7, "password": "canary"}}}',
    '{"credsStore": ["canary"]}',
    JSON.stringify({ auths: { 'a.io': { auth: encoded('canary') } } }),
    JSON.stringify({ auths: { 'a.io': { auth: encoded(':canary') } } }),
    '{"auths": {"a.io": {"auth": "%%canary%%"}}}',
  ])('a broken file is told by its path, without what is in it: %s', async (text) => {
    const here = await told(text);
    const error = await failureOf(here.ask('a.io'));
    expect([error.code, error.message, error.hint]).toEqual([
      'INPUT_INVALID',
      expect.stringContaining(here.path),
      expect.stringMatching(/log in/i),
    ]);
    expect(`${error.message} ${error.hint} ${error.stack}`).not.toContain('canary');
    expect(`${error.message} ${error.hint} ${error.stack}`).not.toContain(encoded('canary'));
  });

  test('a file without end is not read to its end', async () => {
    const here = await told(`{}${' '.repeat(1024 * 1024)}`);
    expect((await failureOf(here.ask('a.io'))).message).toContain(here.path);
  });
});

describe('A13: a credential helper', () => {
  const store = { credsStore: 'desk' };
  const answer = (username: string, secret: string): string =>
    `cat > /dev/null; printf '%s' '${JSON.stringify({ ServerURL: 'x', Username: username, Secret: secret })}'`;

  test('is asked for a host, as docker asks', async () => {
    const log = join(await temporaryDirectory(), 'log');
    const helper = `echo "$1 $(cat)" >> ${log}; ${answer('me', 'canary')}`;
    const here = await told(store, { helper });
    expect(await here.ask('a.io:5000')).toEqual({
      source: 'docker-credential-desk',
      ...basic('me', 'canary'),
    });
    await here.ask('docker.io');
    expect(await readFile(log, 'utf8')).toBe('get a.io:5000\nget https://index.docker.io/v1/\n');
    expect(here.warnings).toEqual([]);
  });

  test('may have a refresh token', async () => {
    const here = await told(store, { helper: answer('<token>', 'refresh') });
    expect(await secretOf(here)).toEqual({ identityToken: 'refresh' });
  });

  test('of a host comes before the one of all, and that before the file', async () => {
    const config = {
      credsStore: 'none',
      credHelpers: { 'https://a.io': 'desk', 'b.io': '' },
      auths: { 'a.io': { auth: encoded('me:file') }, 'b.io': { auth: encoded('me:file') } },
    };
    const here = await told(config, { helper: answer('me', 'helper') });
    expect(await secretOf(here, 'a.io')).toEqual(basic('me', 'helper'));
    expect(await secretOf(here, 'b.io')).toEqual(basic('me', 'file'));
    expect(here.warnings).toEqual([]);
  });

  test('that knows nothing of a host is no cause for a warning', async () => {
    const helper = 'echo "credentials not found in native keychain"; exit 1';
    const here = await told(
      { ...store, auths: { 'a.io': { auth: encoded('me:file') } } },
      { helper },
    );
    expect(await secretOf(here, 'a.io')).toEqual(basic('me', 'file'));
    expect(await here.ask('b.io')).toBeUndefined();
    expect(here.warnings).toEqual([]);
  });

  test.each([
    ['fails', 'echo canary; echo canary >&2; exit 3', 'failed'],
    ['is killed', 'kill -9 $$', 'failed'],
    ['prints nothing', 'exit 0', 'gave no credentials'],
    ['prints garbage', 'echo "canary { "', 'gave no credentials'],
    ['prints other JSON', `echo '{"Secret": "canary"}'`, 'gave no credentials'],
    ['prints no secret', answer('canary', ''), 'gave no credentials'],
    ['prints without end', 'yes canary', 'failed'],
    ['hangs', 'sleep 20', 'took too long'],
    ['hangs and hears no signal', 'trap "" TERM; sleep 20; sleep 20', 'took too long'],
  ])('that %s is passed over, with a warning and without what it said', async (_, helper, why) => {
    // Only those that hang are given little time: on a busy machine the others may need more.
    const timeout = why === 'took too long' ? 300 : 30_000;
    const here = await told(store, { helper, timeout });
    expect(await here.ask('a.io')).toBeUndefined();
    expect(here.warnings).toEqual([
      `docker-credential-desk: ${why}; a.io is asked without credentials`,
    ]);
  });

  test.each([
    ['nowhere', 'failed'],
    ['../desk', 'not the name of a helper'],
    ['desk; touch x', 'not the name of a helper'],
    ['/bin/sh', 'not the name of a helper'],
    ['desk\n', 'not the name of a helper'],
  ])('that is not there, or not the name of one, is passed over: %j', async (credsStore, why) => {
    const here = await told({ credsStore }, { helper: answer('me', 'pass') });
    expect(await here.ask('a.io')).toBeUndefined();
    expect(here.warnings).toEqual([
      `docker-credential-${credsStore}: ${why}; a.io is asked without credentials`,
    ]);
  });

  test('sees the environment of the command, and no other', async () => {
    vi.stubEnv('CANARY', 'of this process');
    onTestFinished(() => void vi.unstubAllEnvs());
    const helper = `printf '{"Username": "%s", "Secret": "x"}' "$CANARY/$GIVEN"`;
    const here = await told(store, { helper, variables: { GIVEN: 'given' } });
    expect(await secretOf(here)).toEqual(basic('/given', 'x'));
  });

  test('that hangs does not keep whoever interrupts', async () => {
    const controller = new AbortController();
    const here = await told(store, { helper: 'sleep 20', signal: controller.signal });
    const asking = here.ask('a.io');
    setTimeout(() => controller.abort(), 100);
    expect((await failureOf(asking)).code).toBe('ABORTED');
    expect(here.warnings).toEqual([]);
  });
});
