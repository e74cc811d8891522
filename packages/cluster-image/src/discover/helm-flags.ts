import { parseArgs } from 'node:util';
import type { Field } from './shell-words.ts';

/** A `helm` command that installs or renders a chart. */
export interface HelmCommand {
  /** `install`, `upgrade` or `template`. */
  readonly verb: string;
  readonly release: Field | undefined;
  readonly chart: Field | undefined;
  readonly flags: readonly HelmFlag[];
  /** Words that may be flags, arguments or nothing. */
  readonly open: readonly Field[];
}

export interface HelmFlag {
  /** In full, without dashes. */
  readonly name: string;
  readonly value: Field;
}

const verbs: readonly string[] = ['install', 'upgrade', 'template'];

/** Flags that take a value, so that what follows them is no argument. */
const valued: readonly string[] = [
  ...['api-versions', 'burst-limit', 'ca-file', 'cert-file', 'color', 'description', 'history-max'],
  ...['key-file', 'keyring', 'kube-apiserver', 'kube-as-group', 'kube-as-user', 'kube-ca-file'],
  ...['kube-context', 'kube-tls-server-name', 'kube-token', 'kube-version', 'kubeconfig', 'labels'],
  ...['name-template', 'namespace', 'output', 'output-dir', 'password', 'post-renderer'],
  ...['post-renderer-args', 'qps', 'registry-config', 'repo', 'repository-cache'],
  ...['repository-config', 'set', 'set-file', 'set-json', 'set-literal', 'set-string', 'show-only'],
  ...['timeout', 'username', 'values', 'version'],
];

const shorts: Readonly<Record<string, string>> = {
  'api-versions': 'a',
  labels: 'l',
  namespace: 'n',
  output: 'o',
  'show-only': 's',
  values: 'f',
};

const options = Object.fromEntries(
  valued.map((name) => {
    const short = shorts[name];
    return [name, { type: 'string' as const, multiple: true, ...(short && { short }) }];
  }),
);

/**
 * Reads the words of a command, `helm` first. Undefined where it neither installs nor renders a chart.
 * https://helm.sh/docs/helm/helm_upgrade/
 */
export function readHelmCommand([, ...words]: readonly Field[]): HelmCommand | undefined {
  const { tokens } = parseArgs({
    args: words.map(({ text }) => text),
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const wordAt = (index: number): readonly Field[] => words.slice(index, index + 1);
  const flags = tokens.flatMap((token): readonly HelmFlag[] => {
    if (token.kind !== 'option' || !valued.includes(token.name)) return [];
    const { name, index, inlineValue, value = '' } = token;
    if (!inlineValue) return wordAt(index + 1).map((word) => ({ name, value: word }));
    const text = token.rawName.startsWith('--') ? value : value.replace(/^=/, '');
    return wordAt(index).map((word) => ({ name, value: { ...word, text } }));
  });
  const [verb, ...given] = tokens.flatMap((token) =>
    token.kind === 'positional' ? wordAt(token.index) : [],
  );
  if (!verb?.isTold || !verbs.includes(verb.text)) return undefined;
  const isNameless = tokens.some(
    (token) => token.kind === 'option' && ['generate-name', 'g'].includes(token.name),
  );
  const certain = given.filter(({ isOpen }) => !isOpen);
  // `helm template CHART` has no name either.
  const wanted = isNameless || (verb.text === 'template' && given.length === 1) ? 1 : 2;
  const isClear = certain.length >= wanted;
  const named = isClear ? certain : given;
  const [release, chart] = wanted === 1 ? [undefined, named[0]] : [named[0], named[1]];
  return {
    verb: verb.text,
    release,
    chart,
    flags,
    open: given.filter((word) => word.isOpen && word !== release && word !== chart),
  };
}
