import type { AnyVerb } from '../verbs/verb.ts';
import { type Flag, flagsOf, isPlain } from './flags.ts';

/** What `cluster-image --help` prints. */
export function overviewHelp(verbs: readonly AnyVerb[]): string {
  const width = Math.max(...verbs.map(({ name }) => name.length));
  return [
    'cluster-image: Kubernetes cluster images from a folder',
    '',
    'usage: cluster-image VERB [ARGUMENT…] [--FLAG…]',
    '',
    ...verbs.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'Every verb takes --json (one document on stdout, progress on stderr) and --help.',
    'cluster-image --version prints the version.',
    'Exit codes: 0 ok, 1 some of it failed, 2 usage, 3 integrity, 4 authentication, 5 network, 130 interrupted.',
  ].join('\n');
}

/** What `cluster-image VERB --help` prints. */
export function verbHelp(verb: AnyVerb): string {
  const flags = flagsOf(verb);
  const byPosition = verb.positional.flatMap((key) => flags.filter((flag) => flag.key === key));
  const rest = flags.filter((flag) => flag.key === verb.rest);
  const words = byPosition.map((flag) => {
    const word = flag.name.toUpperCase() + (flag.isList ? '…' : '');
    return flag.isRequired ? word : `[${word}]`;
  });
  const named = flags.filter(({ key }) => !isPlain(verb, key));
  const after = rest.map(({ name }) => ` -- ${name.toUpperCase()}…`).join('');
  return [
    `usage: cluster-image ${[verb.name, ...words].join(' ')} [--FLAG…]${after}`,
    '',
    verb.summary,
    '',
    ...table([...byPosition, ...rest].map((flag) => [flag.name.toUpperCase(), describe(flag)])),
    ...(byPosition.length > 0 ? [''] : []),
    ...table([
      ...named.map((flag) => [spelling(flag), describe(flag)] as const),
      ['--json', 'Print the result as one JSON document'],
      ['-h, --help', 'Print this'],
    ]),
  ].join('\n');
}

function spelling({ name, short, type, isList }: Flag): string {
  const value = type === 'boolean' ? '' : type === 'number' ? ' N' : ' VALUE';
  return `${short === undefined ? '' : `-${short}, `}--${name}${value}${isList ? '…' : ''}`;
}

function describe({ description, fallback }: Flag): string {
  const isTold = fallback === undefined || fallback === false || String(fallback) === '';
  return isTold ? description : `${description} (default ${String(fallback)})`;
}

function table(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([first]) => first.length));
  return rows.map(([first, second]) => `  ${first.padEnd(width)}  ${second}`);
}
