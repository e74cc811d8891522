import { posix } from 'node:path';
import { compareBytes } from '@cluster-image/oci';
import type { Scope } from '../kubefile/words.ts';
import { below, realPath } from './copy-files.ts';
import type { Source } from './source.ts';

/** Where sealer has the files of its applications. */
export const applicationsDirectory = 'application/apps';

/** An application as sealer's annotation describes it. */
export interface Application {
  readonly name: string;
  /** How it is launched; absent where its own commands do that. */
  readonly type?: 'helm' | 'kube' | 'shell' | undefined;
  /** What is launched, relative to its directory. */
  readonly files?: readonly string[] | undefined;
  readonly version: string;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cmds?: readonly string[] | undefined;
}

/**
 * An application by its files, as sealer tells them: a chart, or nothing but YAML, or nothing but
 * shell scripts; else it has no type. A chart needs no values and templates for that, without which
 * sealer itself would apply its `Chart.yaml` to the cluster.
 *
 * @param sources paths in the context
 */
export function applicationOf(
  name: string,
  sources: readonly string[],
  source: Source,
  { fault }: Pick<Scope, 'fault'>,
): Application {
  const found = sources.map((path) =>
    filesAt(realPath(source, posix.resolve('/', path).slice(1), fault), source),
  );
  const common = { name, version: 'v1' };
  if (found.some((files) => files.includes('/Chart.yaml')))
    return { ...common, type: 'helm', files: [name] };
  const types = new Set(found.flat().map(typeOf));
  const [type] = types;
  if (types.size !== 1 || type === undefined) return common;
  // Of scripts the first source counts, the others are there for it.
  const files = type === 'shell' ? found.slice(0, 1) : found;
  return { ...common, type, files: files.flat() };
}

/** The files at a path: a file by its name, those of a directory by their paths in it, after a slash. */
function filesAt(path: string, source: Source): readonly string[] {
  const entry = source.get(path);
  if (entry && entry.type !== 'directory') return [posix.basename(path)];
  const inside = path === '' ? [...source] : below(source, path);
  return inside
    .filter(([, { type }]) => type !== 'directory')
    .map(([file]) => `/${file}`)
    .sort((a, b) => compareBytes(a.replaceAll('/', '\0'), b.replaceAll('/', '\0')));
}

function typeOf(file: string): Application['type'] {
  if (/\.ya?ml$/i.test(file)) return 'kube';
  return /\.sh$/i.test(file) ? 'shell' : undefined;
}

/** The line for the shell by which sealer launches an application; undefined where there is none. */
export function launchLine({ name, type, files = [], cmds = [] }: Application): string | undefined {
  const directory = `${applicationsDirectory}/${name}/`;
  if (cmds.length > 0) return `cd ${directory} && ${cmds.join(' ')}`;
  if (type === 'helm') return `helm install ${name} ${directory}`;
  const program = type === 'kube' ? 'kubectl apply -f' : 'bash';
  const lines = files.map((file) => `${program} ${posix.join(directory, file)}`);
  return type && lines.length > 0 ? lines.join(' && ') : undefined;
}
