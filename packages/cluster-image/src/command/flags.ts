import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { OciError } from '@cluster-image/oci';
import { z } from 'zod';
import type { AnyVerb } from '../verbs/verb.ts';

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
  const { positionals, tokens, ...read } = readArguments(flags, args, usage);
  const values: Readonly<Record<string, unknown>> = read.values;
  const seen = new Set<string>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const isList = flags.find(({ name }) => name === token.name)?.isList;
    if (seen.has(token.name) && !isList) throw usage(`--${token.name} is given twice`);
    seen.add(token.name);
  }
  const options: Record<string, unknown> = {};
  for (const flag of flags) {
    const value = values[flag.name];
    if (value === undefined) continue;
    options[flag.key] = flag.type === 'number' ? numberOf(flag, value, usage) : value;
  }
  assignPositionals(verb, flags, positionals, options, usage);
  const checked = verb.options.safeParse(options);
  if (values.help !== true && !checked.success) {
    const [issue] = checked.error.issues;
    const flag = flags.find(({ key }) => key === issue?.path[0]);
    const isMissing = flag !== undefined && options[flag.key] === undefined;
    const name =
      flag && (verb.positional.includes(flag.key) ? flag.name.toUpperCase() : `--${flag.name}`);
    throw usage(isMissing ? `${name} is missing` : `${name ?? ''}: ${issue?.message ?? 'invalid'}`);
  }
  return { options, json: values.json === true, help: values.help === true };
}

type Usage = (why: string) => OciError;

function readArguments(flags: readonly Flag[], args: readonly string[], usage: Usage) {
  const options: ParseArgsOptionsConfig = {
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  };
  for (const { name, short, type, isList } of flags) {
    options[name] = {
      type: type === 'boolean' ? 'boolean' : 'string',
      multiple: isList,
      ...(short !== undefined && { short }),
    };
  }
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, tokens: true });
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
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
