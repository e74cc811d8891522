import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { OciError } from '@cluster-image/oci';
import { z } from 'zod';
import type { AnyVerb } from '../verbs/verb.ts';
import { nearest } from './nearest.ts';

/** What the options of a verb look like from outside. */
export interface Flag {
  /** As options name it: `plainHttp`. */
  readonly key: string;
  /** As people write it: `plain-http`. */
  readonly name: string;
  readonly short?: string;
  readonly type: 'boolean' | 'string' | 'number';
  readonly isList: boolean;
  readonly isRequired: boolean;
  readonly description: string;
  readonly fallback?: unknown;
}

const propertySchema = z.looseObject({
  type: z.string().optional(),
  description: z.string().optional(),
  default: z.unknown().optional(),
});

/** The flags of a verb, made from its options; there is no other list of them. */
export function flagsOf(verb: AnyVerb): readonly Flag[] {
  const { properties = {}, required = [] } = z.toJSONSchema(verb.options, { io: 'input' });
  return Object.entries(properties).map(([key, property]) => {
    const { type = 'string', description = '', ...rest } = propertySchema.parse(property);
    const short = Object.entries(verb.short ?? {}).find(([, long]) => long === key)?.[0];
    return {
      key,
      name: key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
      ...(short !== undefined && { short }),
      type: type === 'boolean' ? type : type === 'integer' ? 'number' : 'string',
      isList: type === 'array',
      isRequired: required.includes(key),
      description,
      fallback: rest.default,
    };
  });
}

export interface Parsed {
  readonly options: Readonly<Record<string, unknown>>;
  readonly json: boolean;
  readonly help: boolean;
}

/** Reads the arguments of a verb. Throws USAGE; nothing has been started then. */
export function parseFlags(verb: AnyVerb, args: readonly string[]): Parsed {
  const flags = flagsOf(verb);
  const usage = (why: string): OciError =>
    new OciError('USAGE', why, { hint: `See cluster-image ${verb.name} --help.` });
  const end = verb.rest === undefined ? -1 : args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  const { positionals, values, times } = readArguments(flags, own, usage);
  const json = times.has('json');
  // Whoever asks for help need not have got the rest right.
  if (times.has('help')) return { options: {}, json, help: true };
  const options: Record<string, unknown> = {};
  for (const flag of flags) {
    const value = values.get(flag.name);
    if (value === undefined) continue;
    if (!flag.isList && (times.get(flag.name) ?? 0) > 1) {
      throw usage(`--${flag.name} is given twice`);
    }
    options[flag.key] = flag.type === 'number' ? numberOf(flag, value, usage) : value;
  }
  assignPositionals(verb, flags, positionals, options, usage);
  if (verb.rest !== undefined && end >= 0) options[verb.rest] = args.slice(end + 1);
  const checked = verb.options.safeParse(options);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    const flag = flags.find(({ key }) => key === issue?.path[0]);
    const isMissing = flag !== undefined && options[flag.key] === undefined;
    const name = flag && (isPlain(verb, flag.key) ? flag.name.toUpperCase() : `--${flag.name}`);
    throw usage(isMissing ? `${name} is missing` : `${name ?? ''}: ${issue?.message ?? 'invalid'}`);
  }
  return { options, json, help: false };
}

/** Whether an option is given without a flag before it. */
export function isPlain({ positional, rest }: AnyVerb, key: string): boolean {
  return positional.includes(key) || rest === key;
}

type Usage = (why: string) => OciError;

interface Read {
  readonly positionals: readonly string[];
  /** By name; all of a list, else the last. */
  readonly values: ReadonlyMap<string, string | boolean | readonly string[]>;
  /** How often each is given. */
  readonly times: ReadonlyMap<string, number>;
}

function readArguments(flags: readonly Flag[], args: readonly string[], usage: Usage): Read {
  const options: ParseArgsOptionsConfig = {
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  };
  for (const { name, short, type } of flags) {
    options[name] = {
      type: type === 'boolean' ? 'boolean' : 'string',
      ...(short !== undefined && { short }),
    };
  }
  const isLoose = { strict: false, allowPositionals: true, tokens: true } as const;
  const { positionals, tokens } = parseArgs({ args: [...args], options, ...isLoose });
  const values = new Map<string, string | boolean | readonly string[]>();
  const lists = new Map<string, string[]>();
  const times = new Map<string, number>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const { name, rawName, value, inlineValue } = token;
    const type = options[name]?.type;
    if (type === undefined) throw usage(unknownFlag(rawName, Object.keys(options)));
    if (type === 'boolean' && value !== undefined) throw usage(`--${name} takes no value`);
    if (type === 'string' && value === undefined) throw usage(`--${name} needs a value`);
    if (value?.startsWith('-') && value !== '-' && !inlineValue) {
      const way = `one that begins with - is given as --${name}=${value}`;
      throw usage(`--${name} needs a value; ${way}`);
    }
    times.set(name, (times.get(name) ?? 0) + 1);
    const list = [...(lists.get(name) ?? []), value ?? ''];
    lists.set(name, list);
    const isList = flags.find((flag) => flag.name === name)?.isList;
    values.set(name, isList ? list : (value ?? true));
  }
  return { positionals, values, times };
}

function unknownFlag(rawName: string, known: readonly string[]): string {
  // Who writes --no-x means the opposite of x.
  const meant = /^--(?!no-)/.test(rawName) ? nearest(rawName, known) : undefined;
  return `there is no flag ${rawName}${meant === undefined ? '' : `; --${meant} is meant, perhaps`}`;
}

function numberOf({ name }: Flag, value: unknown, usage: Usage): number {
  const number = Number(value);
  if (typeof value === 'string' && /^\d+$/.test(value)) return number;
  throw usage(`--${name}: ${JSON.stringify(value)} is not a number`);
}

function assignPositionals(
  verb: AnyVerb,
  flags: readonly Flag[],
  positionals: readonly string[],
  options: Record<string, unknown>,
  usage: Usage,
): void {
  const rest = [...positionals];
  for (const key of verb.positional) {
    const isList = flags.find((flag) => flag.key === key)?.isList ?? false;
    const taken = isList ? rest.splice(0) : rest.splice(0, 1);
    if (taken.length === 0) continue;
    if (options[key] !== undefined) throw usage(`${key} is given twice`);
    options[key] = isList ? taken : taken[0];
  }
  if (rest.length > 0) throw usage(`unexpected argument ${JSON.stringify(rest[0])}`);
}
