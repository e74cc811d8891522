import { createContext, OciError } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { flagsOf, parseFlags } from '../../src/command/flags.ts';
import { verbHelp } from '../../src/command/help.ts';
import { verbs } from '../../src/verbs/table.ts';
import { callable, type Verb } from '../../src/verbs/verb.ts';

const options = z.object({
  from: z.string().describe('Where from'),
  rest: z.array(z.string()).default([]).describe('And the rest'),
  tag: z.string().optional().describe('A name'),
  level: z.int().min(1).max(9).default(3).describe('How much'),
  plainHttp: z.array(z.string()).default([]).describe('Hosts'),
  dryRun: z.boolean().default(false).describe('Do nothing'),
  mode: z.enum(['fast', 'slow']).optional().describe('How'),
});

const verb: Verb<typeof options, unknown> = {
  name: 'try',
  summary: 'Try things',
  positional: ['from', 'rest'],
  options,
  short: { t: 'tag', n: 'dryRun' },
  run: async (given) => given,
  lines: () => [],
};

const tried = callable(verb);

function parsed(...args: readonly string[]): unknown {
  return parseFlags(tried, args).options;
}

function usage(...args: readonly string[]): string {
  try {
    parseFlags(tried, args);
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    expect([error.code, error.hint]).toEqual(['USAGE', 'See cluster-image try --help.']);
    return error.message;
  }
  throw new Error('nothing was thrown');
}

describe('flags are made from options', () => {
  test('of every type', () => {
    expect(flagsOf(tried)).toEqual([
      {
        key: 'from',
        name: 'from',
        type: 'string',
        isList: false,
        isRequired: true,
        description: 'Where from',
      },
      expect.objectContaining({ key: 'rest', isList: true, isRequired: false, fallback: [] }),
      expect.objectContaining({ key: 'tag', short: 't', isRequired: false }),
      expect.objectContaining({ key: 'level', type: 'number', fallback: 3 }),
      expect.objectContaining({ key: 'plainHttp', name: 'plain-http', isList: true }),
      expect.objectContaining({ key: 'dryRun', name: 'dry-run', short: 'n', type: 'boolean' }),
      expect.objectContaining({ key: 'mode', type: 'string' }),
    ]);
  });

  test('whose names are each their own, in every verb', async () => {
    for (const load of verbs.values()) {
      const each = await load();
      const names = [...flagsOf(each).map(({ name }) => name), 'json', 'help'];
      expect(new Set(names).size).toBe(names.length);
      const shorts = [...Object.keys(each.short ?? {}), 'h'];
      expect(new Set(shorts).size).toBe(shorts.length);
      const keys = flagsOf(each).map(({ key }) => key);
      expect(keys).toEqual(expect.arrayContaining([...each.positional]));
      for (const { description, name } of flagsOf(each))
        expect([name, description]).not.toContain('');
    }
  });
});

describe('arguments are read', () => {
  test.each([
    [['a'], { from: 'a' }],
    [['a', 'b', 'c'], { from: 'a', rest: ['b', 'c'] }],
    [['--from', 'a', '--rest', 'b', '--rest=c'], { from: 'a', rest: ['b', 'c'] }],
    [['--tag=t', 'a'], { from: 'a', tag: 't' }],
    [['a', '-t', 't'], { from: 'a', tag: 't' }],
    [['a', '-tt'], { from: 'a', tag: 't' }],
    [['a', '-nt', 'x'], { from: 'a', dryRun: true, tag: 'x' }],
    [['--dry-run', 'a'], { from: 'a', dryRun: true }],
    [['a', '--plain-http', 'x', '--plain-http', 'y'], { from: 'a', plainHttp: ['x', 'y'] }],
    [['a', '--level', '9'], { from: 'a', level: 9 }],
    [['a', '--mode=slow'], { from: 'a', mode: 'slow' }],
    // Values that look like flags, and the end of flags.
    [['a', '--tag=--dry-run'], { from: 'a', tag: '--dry-run' }],
    [['a', '--tag='], { from: 'a', tag: '' }],
    [['a', '--tag=a=b'], { from: 'a', tag: 'a=b' }],
    [['--', 'a', '--tag', '-x'], { from: 'a', rest: ['--tag', '-x'] }],
    [['-'], { from: '-' }],
    [['a', '--', '--'], { from: 'a', rest: ['--'] }],
  ])('%j', (args, expected) => {
    expect(parsed(...args)).toEqual(expected);
  });

  test('--json and --help wherever they stand', () => {
    expect(parseFlags(tried, ['--json', 'a'])).toEqual({
      options: { from: 'a' },
      json: true,
      help: false,
    });
    expect(parseFlags(tried, ['a', '-n', '-h'])).toMatchObject({ json: false, help: true });
    // Whoever asks for help may not know the rest.
    for (const args of [[], ['--level', 'x'], ['--tag', '1', '--tag', '2'], ['--level', '99']]) {
      expect(parseFlags(tried, [...args, '--help'])).toMatchObject({ help: true });
    }
  });

  test('and checked before the verb is called', async () => {
    const { result } = await tried.call(
      parsed('a', '--level', '4'),
      { cwd: '/', variables: {} },
      createContext(),
    );
    expect(result).toEqual({
      from: 'a',
      rest: [],
      level: 4,
      plainHttp: [],
      dryRun: false,
    });
  });
});

describe('what follows --', () => {
  const running = { ...tried, positional: ['from'], rest: 'rest' };

  test.each([
    [
      ['a', '-n', '--', 'npm', 'run', '--tag', '--'],
      ['npm', 'run', '--tag', '--'],
    ],
    [['a', '-n', '--'], []],
  ])('is left as it is where the verb takes it: %j', (args, rest) => {
    expect(parseFlags(running, args).options).toEqual({ from: 'a', dryRun: true, rest });
  });

  test('is told of by help, and when it is missing', () => {
    expect(verbHelp(running)).toContain('usage: cluster-image try FROM [--FLAG…] -- REST…\n');
    expect(() => parseFlags(running, ['a', 'b'])).toThrow('unexpected argument "b"');
    const required = { ...running, options: options.extend({ rest: z.array(z.string()) }) };
    expect(() => parseFlags(required, ['a'])).toThrow('REST is missing');
  });
});

describe('arguments that are wrong are told as such', () => {
  test.each([
    [[], 'FROM is missing'],
    [['a', '--nothing'], 'there is no flag --nothing'],
    [['a', '--dryrun'], 'there is no flag --dryrun; --dry-run is meant, perhaps'],
    [['a', '--dryRun'], 'there is no flag --dryRun; --dry-run is meant, perhaps'],
    [['a', '--tags=x'], 'there is no flag --tags; --tag is meant, perhaps'],
    [['a', '--hlep'], 'there is no flag --hlep; --help is meant, perhaps'],
    [['a', '-x'], 'there is no flag -x'],
    [['a', '-nx'], 'there is no flag -x'],
    [['a', '--no-dry-run'], 'there is no flag --no-dry-run'],
    [['a', '--__proto__=x'], 'there is no flag --__proto__'],
    [['a', '--tag'], '--tag needs a value'],
    [['a', '--tag', '-x'], '--tag needs a value; one that begins with - is given as --tag=-x'],
    [
      ['a', '-t', '--dry-run'],
      '--tag needs a value; one that begins with - is given as --tag=--dry-run',
    ],
    [['a', '--dry-run=true'], '--dry-run takes no value'],
    [['a', '--json=no'], '--json takes no value'],
    [['a', '--tag', '1', '-t', '2'], '--tag is given twice'],
    [['a', '--dry-run', '-n'], '--dry-run is given twice'],
    [['a', '--from', 'b'], 'from is given twice'],
    [['a', 'b', '--rest', 'c'], 'rest is given twice'],
    [['a', '--level', 'x'], '--level: "x" is not a number'],
    [['a', '--level', '1e1'], '--level: "1e1" is not a number'],
    [['a', '--level=-1'], '--level: "-1" is not a number'],
    [['a', '--level='], '--level: "" is not a number'],
    [['a', '--level', '0x1'], '--level: "0x1" is not a number'],
  ])('%j', (args, message) => {
    expect(usage(...args)).toBe(message);
  });

  test.each([
    [['a', '--level', '10'], /^--level: .*9/],
    [['a', '--level', '99999999999999999999'], /^--level: /],
    [['a', '--mode', 'medium'], /^--mode: .*"fast".*"slow"/],
  ])('%j', (args, message) => {
    expect(usage(...args)).toMatch(message);
  });

  test('one argument too many', () => {
    const single = { ...tried, positional: ['from'] };
    expect(() => parseFlags(single, ['a', 'b'])).toThrow('unexpected argument "b"');
  });
});

describe('help', () => {
  test('is made from the options', () => {
    expect(verbHelp(tried)).toBe(`usage: cluster-image try FROM [REST…] [--FLAG…]

Try things

  FROM  Where from
  REST  And the rest

  -t, --tag VALUE      A name
  --level N            How much (default 3)
  --plain-http VALUE…  Hosts
  -n, --dry-run        Do nothing
  --mode VALUE         How
  --json               Print the result as one JSON document
  -h, --help           Print this`);
  });
});
