import { readFile, rm, writeFile } from 'node:fs/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { main } from '../../src/command/main.ts';
import { verbs } from '../../src/verbs/table.ts';
import { clusterFiles } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk, image } from '../desk.ts';
import { type Place, place } from '../place.ts';

interface Ended {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

afterEach(() => {
  vi.unstubAllEnvs();
});

/** Runs the command where a place is, and gives what it prints. */
async function command({ root, environment }: Place, ...args: readonly string[]): Promise<Ended> {
  const printed = { out: '', err: '' };
  for (const [name, value] of Object.entries(environment.variables)) vi.stubEnv(name, value);
  const spies = [
    vi.spyOn(process, 'cwd').mockReturnValue(root),
    vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
      printed.out += chunk;
      return true;
    }),
    vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
      printed.err += chunk;
      return true;
    }),
  ];
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const before = signals.map((signal) => new Set(process.listeners(signal)));
  try {
    return { exit: await main(args), ...printed };
  } finally {
    for (const spy of spies) spy.mockRestore();
    for (const [at, signal] of signals.entries()) {
      for (const listener of process.listeners(signal)) {
        if (!before[at]?.has(listener)) process.off(signal, listener);
      }
    }
  }
}

/** What would move a terminal's cursor or turn a text around. */
function movesIn(text: string): readonly string[] {
  return [...text].filter((char) => char !== '\n' && /[\p{Cc}\p{Bidi_Control}]/u.test(char));
}

async function withContext(images = ['acme/app:1']): Promise<Desk> {
  const here = await desk();
  await putFiles(here.root, clusterFiles(here.host, images));
  return here;
}

describe('help', () => {
  test.each([['--help'], ['-h'], ['help']])('%s lists every verb', async (arg) => {
    const { exit, out, err } = await command(await place(), arg);
    expect([exit, err]).toEqual([0, '']);
    for (const name of verbs.keys()) expect(out).toMatch(new RegExp(`^ {2}${name} +\\S`, 'm'));
  });

  test('--version tells that of the package', async () => {
    const { exit, out, err } = await command(await place(), '--version');
    const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
    const { version }: { version: unknown } = JSON.parse(text);
    expect([exit, out, err]).toEqual([0, `cluster-image ${version}\n`, '']);
  });

  test('of every verb tells its flags', async () => {
    const here = await place();
    for (const name of verbs.keys()) {
      const { exit, out, err } = await command(here, name, '--help');
      expect([exit, err]).toEqual([0, '']);
      expect(out).toMatch(new RegExp(`^usage: cluster-image ${name} `));
      expect(out).toContain('--json');
    }
  });

  test('comes, as a failure, where nothing is asked', async () => {
    const { exit, out, err } = await command(await place());
    expect([exit, out + err]).toEqual([2, expect.stringContaining('usage: cluster-image VERB')]);
  });
});

describe('what fails exits with', () => {
  test.each([
    ['what is no verb', ['nothing']],
    ['what is no verb', ['__proto__']],
    ['what is no flag', ['lock', '--nothing']],
    ['a missing argument', ['inspect']],
    ['what is no location', ['inspect', 'docker:x']],
    ['what is no platform', ['lock', 'cluster', '--platform', 'x']],
    ['what is no reference', ['lock', 'cluster', '--update', 'A b']],
  ])('2 because of %s', async (_, args) => {
    const { exit, out, err } = await command(await withContext(), ...args);
    expect([exit, out, err]).toEqual([2, '', expect.stringMatching(/^error: .+\n/)]);
  });

  test.each([
    ['biuld', '; build is meant, perhaps'],
    ['pul', '; pull is meant, perhaps'],
    ['Verfiy', '; verify is meant, perhaps'],
    ['deploy', ''],
    ['x', ''],
  ])('2 because of %s, telling what may be meant', async (verb, perhaps) => {
    const { exit, err } = await command(await place(), verb);
    const text = `error: there is no verb ${verb}${perhaps}\nSee cluster-image --help.\n`;
    expect([exit, err]).toEqual([2, text]);
  });

  test('3 because of damage, whether it is in a part or in all of an image', async () => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app:1`;
    await command(here, 'copy', from, 'oci:x', '--plain-http', here.host);
    expect((await command(here, 'verify', 'oci:x')).exit).toBe(0);
    for (const part of [image.root.layers[0], image.root]) {
      const path = here.path('x/blobs/sha256', (part?.digest ?? '').slice('sha256:'.length));
      await rm(path);
      await writeFile(path, 'other');
      const { exit, out, err } = await command(here, 'verify', 'oci:x');
      expect([exit, out + err]).toEqual([3, expect.stringContaining(part?.digest ?? 'nothing')]);
    }
  });

  test('1 because of what is not there, or does not fit', async () => {
    const here = await withContext();
    expect((await command(here, 'discover', 'nowhere')).exit).toBe(1);
    const drift = await command(here, 'lock', 'cluster', '--check');
    expect([drift.exit, drift.out]).toEqual([1, '']);
    expect(drift.err).toContain(`${here.host}/acme/app:1  (manifests/0.yaml:5)`);
    expect(drift.err).toContain('Run `cluster-image lock cluster`');
    await writeFile(here.path('cluster/cluster-image.json'), '{\n"x": 1}');
    const broken = await command(here, 'lock', 'cluster');
    expect([broken.exit, broken.err]).toEqual([
      1,
      'error: cluster/cluster-image.json:2: x: nothing of that name is known\n',
    ]);
  });

  test('3 because of wrong bytes', async () => {
    const here = await desk({ rules: [{ match: { kind: 'blob' }, fault: { corrupt: 3 } }] });
    const from = `${here.host}/acme/app:1`;
    const { exit, err } = await command(here, 'pull', from, '--plain-http', here.host);
    expect([exit, err]).toEqual([3, expect.stringMatching(/^error: .*sha256:/m)]);
  });

  test('4 because of a registry that lets nobody in', async () => {
    const here = await desk({ auth: { scheme: 'basic', users: ['a:b'] } });
    const from = `${here.host}/acme/app:1`;
    const { exit, err } = await command(here, 'pull', from, '--plain-http', here.host);
    expect([exit, err]).toEqual([4, expect.stringContaining(here.host)]);
  });

  test('5 because of the network', async () => {
    const here = await desk();
    const { exit, err } = await command(here, 'pull', `${here.host}/acme/app:1`);
    expect([exit, err]).toEqual([5, expect.stringContaining(here.host)]);
  });

  test('1 where there is a result to show as well', async () => {
    const here = await place({
      'cluster/Kubefile': 'FROM scratch\n',
      'cluster/manifests/a.yaml': 'kind: Pod\nspec:\n  containers:\n    - image: "a b"\n',
    });
    const { exit, out } = await command(here, 'discover', 'cluster', '--json');
    const found: unknown = JSON.parse(out);
    expect([exit, found]).toEqual([1, expect.objectContaining({ images: [] })]);
  });
});

describe('what is printed', () => {
  test('--json is one document on stdout, and progress on stderr', async () => {
    const here = await withContext();
    const flags = ['--plain-http', here.host, '--json'];
    const locked = await command(here, 'lock', 'cluster', ...flags);
    const lock: unknown = JSON.parse(locked.out);
    expect([locked.exit, lock]).toEqual([
      0,
      {
        lockfile: 'cluster-image.lock.json',
        images: 1,
        changes: [{ reference: `${here.host}/acme/app:1`, to: image.root.digest }],
      },
    ]);
    const built = await command(here, 'build', 'cluster', '-t', 'x', ...flags);
    const build: unknown = JSON.parse(built.out);
    expect([built.exit, build]).toEqual([
      0,
      expect.objectContaining({ images: 1, fetched: expect.any(Number) }),
    ]);
    expect(built.err).toMatch(new RegExp(`^ {2}[\\d.]+ kB +${here.host}/acme/app:1\n`));
    const again = await command(here, 'build', 'cluster', '-t', 'x', ...flags);
    expect(again.err).toBe('');
  });

  test('for people it is lines', async () => {
    const here = await withContext();
    expect(await command(here, 'discover', 'cluster')).toEqual({
      exit: 0,
      out: `${here.host}/acme/app:1\n  manifests/0.yaml:5\n`,
      err: '',
    });
  });

  test('short flags, lists and `--` are read', async () => {
    const here = await withContext();
    await command(here, 'lock', 'cluster', '--plain-http', here.host);
    const args = ['--plain-http', here.host, '-t', 'x:1', '-o', 'oci:one', '-o', 'oci:two'];
    const built = await command(here, 'build', ...args, '--', 'cluster');
    expect([built.exit, built.out]).toEqual([
      0,
      expect.stringMatching(/^built docker\.io\/library\/x:1\n.*oci:one\n +oci:two\n$/s),
    ]);
  });

  test('hostile text of a file moves no cursor', async () => {
    const evil = 'a\u001b[2J\u202e\u009b\u0007b';
    const here = await place({
      'cluster/Kubefile': 'FROM scratch\n',
      'cluster/manifests/a.yaml': `kind: Pod\nspec:\n  containers:\n    - image: ${JSON.stringify(evil)}\n`,
    });
    const { out } = await command(here, 'discover', 'cluster');
    expect(out).toContain('a\\u001b[2J\\u202e\\u009b\\u0007b');
    expect(movesIn(out)).toEqual([]);
    const json = (await command(here, 'discover', 'cluster', '--json')).out;
    expect(movesIn(json)).toEqual([]);
    const told: unknown = JSON.parse(json);
    expect(told).toHaveProperty('unresolved.0.text', evil);
  });

  test('hostile text of an argument, a name or a registry moves none either', async () => {
    const here = await desk({
      rules: [
        {
          match: { kind: 'manifest' },
          fault: {
            status: 400,
            body: JSON.stringify({ errors: [{ code: 'X', message: 'evil \u001b[2J\u009b' }] }),
          },
        },
      ],
    });
    for (const args of [
      ['\u001b[2J'],
      ['lock', '--\u001b[2J'],
      ['inspect', 'oci:\u001b[2J\u202e'],
      ['pull', `${here.host}/acme/app:1`, '--plain-http', here.host],
    ]) {
      const { exit, err } = await command(here, ...args);
      expect(exit).toBeGreaterThan(0);
      expect(movesIn(err)).toEqual([]);
    }
  });
});
