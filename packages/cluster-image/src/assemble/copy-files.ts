import { posix } from 'node:path';
import { type Content, type Digest, type OciError, readAll, slice } from '@cluster-image/oci';
import { compressionOf, isLayerPath, type Owner, type PlanEntry } from '@cluster-image/storage';
import { type Instruction, type Kubefile, kubefileError } from '../kubefile/kubefile.ts';
import { expand, type Lookup, wordsOf } from '../kubefile/words.ts';
import {
  directoryEntry,
  isPattern,
  matchesPattern,
  parentsOf,
  type Source,
  type SourceEntry,
} from './source.ts';

/** What `COPY` and `ADD` work on. */
export interface CopyState {
  readonly kubefile: Kubefile;
  /** The files of the stage so far, by path without a leading slash; new ones are put in. */
  readonly files: Map<string, PlanEntry>;
  readonly workingDirectory: string;
  readonly lookup: Lookup;
  /** What is copied from: the context, or the stage that `--from` names. */
  readonly source: Source;
  /** Keeps bytes for later and tells their digest. */
  readonly keep: (content: Content) => Promise<{ digest: Digest; size: number }>;
}

interface Attributes {
  readonly owner: Owner | undefined;
  readonly mode: number | undefined;
}

/** A file that is copied, under its own name; or what a directory holds, under the names there. */
type Match =
  | { readonly kind: 'file'; readonly name: string; readonly entry: SourceEntry }
  | { readonly kind: 'directory'; readonly entries: readonly (readonly [string, SourceEntry])[] };

/**
 * `COPY` and `ADD` of files, by docker's rules: a directory gives what it holds, a destination that
 * ends with `/` or is a directory takes files by their names, owners and modes are those of the flags
 * or 0:0 and 0644 (0755 for programs and directories), whatever they are on this machine.
 * https://docs.docker.com/reference/dockerfile/#copy
 */
export async function copyFiles(instruction: Instruction, state: CopyState): Promise<void> {
  const { files, lookup, kubefile } = state;
  const attributes = attributesOf(instruction, state);
  const words = wordsOf(instruction.text, lookup);
  const target = words.at(-1);
  if (target === undefined || words.length < 2) {
    throw invalid(`${instruction.keyword} needs a source and a destination`);
  }
  const destination = posix.resolve('/', state.workingDirectory, target).slice(1);
  const namesDirectory = /(?:^|\/)\.{0,2}$/.test(target);
  const matches = words.slice(0, -1).flatMap((word) => matched(word));
  if (matches.length > 1 && !namesDirectory) {
    throw invalid('with several sources the destination has to end with /');
  }
  const intoDirectory = namesDirectory || files.get(destination)?.type === 'directory';
  for (const match of matches) {
    if (match.kind === 'file') {
      const path = intoDirectory ? posix.join(destination, match.name) : destination;
      await put(match.entry, path);
      continue;
    }
    if (destination !== '') place(directoryEntry(destination));
    for (const [path, entry] of match.entries) await put(entry, posix.join(destination, path));
  }

  function matched(word: string): readonly Match[] {
    const heredoc = heredocOf(word);
    if (heredoc) return [heredoc];
    if (/^(?:https?|git|ssh):|^git@/.test(word)) {
      throw unsupported(
        `${word} would have to be fetched during the build`,
        'Fetch it before, so that the build depends on nothing but the repository.',
      );
    }
    const path = posix.normalize(word.replace(/^\/+/, '') || '.').replace(/\/$/, '');
    if (path === '..' || path.startsWith('../')) throw invalid(`${word} lies outside the context`);
    if (path === '.') return [{ kind: 'directory', entries: [...state.source] }];
    const paths = isPattern(path)
      ? [...state.source.keys()].filter((candidate) => matchesPattern(candidate, path))
      : [path].filter((candidate) => state.source.has(candidate));
    if (paths.length === 0) {
      throw invalid(`there is no ${word} in the context`, 'Is it excluded by .dockerignore?');
    }
    return paths.map(matchAt);
  }

  function heredocOf(word: string): Match | undefined {
    const name = /^<<-?["']?(\w+)["']?$/.exec(word)?.[1] ?? '';
    const heredoc = instruction.heredocs.get(name);
    if (!heredoc) return undefined;
    const text = heredoc.isLiteral ? heredoc.text : expand(heredoc.text, lookup, false);
    return { kind: 'file', name, entry: { type: 'text', path: name, mode: 0o644, text } };
  }

  /** A link that is named is followed; one that lies in a directory is copied as a link. */
  function matchAt(path: string): Match {
    let at = path;
    for (let hops = 0; hops < 16; hops++) {
      const entry = state.source.get(at);
      if (!entry) break;
      if (entry.type === 'directory')
        return { kind: 'directory', entries: below(state.source, at) };
      if (entry.type !== 'symlink') return { kind: 'file', name: posix.basename(path), entry };
      at = posix.join(posix.dirname(at), entry.target);
    }
    throw invalid(`${path} is a link that leads nowhere in the context`);
  }

  async function put(entry: SourceEntry, path: string): Promise<void> {
    if (entry.type === 'directory') return place({ type: 'directory', path, mode: 0o755 });
    if (entry.type === 'symlink') return place({ type: 'symlink', path, target: entry.target });
    if (!('content' in entry)) return place({ ...entry, path });
    if (instruction.keyword === 'ADD') await refuseArchive(entry.path, entry.content);
    const mode = entry.mode & 0o100 ? 0o755 : 0o644;
    place({ type: 'file', path, mode, ...(await state.keep(entry.content)) });
  }

  function place(entry: PlanEntry): void {
    const { path } = entry;
    if (!isLayerPath(path)) throw invalid(`${path} is not a path in an image`);
    if (posix.basename(path).startsWith('.wh.')) {
      throw invalid(
        `${path} would be taken for a deletion mark`,
        'Names that begin with .wh. cannot be in an image.',
      );
    }
    for (const parent of parentsOf(path)) {
      const known = files.get(parent);
      if (!known) files.set(parent, directoryEntry(parent));
      else if (known.type !== 'directory' && known.type !== 'symlink') {
        throw invalid(`${path} would lie below ${parent}, which is a file`);
      }
    }
    const known = files.get(path);
    if (known && (known.type === 'directory') !== (entry.type === 'directory')) {
      throw invalid(`${path} is a ${known.type} already and would become a ${entry.type}`);
    }
    files.set(path, withAttributes(entry, attributes));
  }

  async function refuseArchive(path: string, content: Content): Promise<void> {
    if (!(await isArchive(content))) return;
    throw unsupported(
      `ADD would unpack ${path}`,
      'COPY keeps an archive as it is; to have its files in the image, unpack it in the context.',
    );
  }

  function invalid(why: string, hint?: string): OciError {
    return kubefileError(kubefile, instruction.line, 'INPUT_INVALID', why, hint);
  }

  function unsupported(why: string, hint?: string): OciError {
    return kubefileError(kubefile, instruction.line, 'UNSUPPORTED', why, hint);
  }
}

function below(source: Source, directory: string): readonly (readonly [string, SourceEntry])[] {
  const prefix = `${directory}/`;
  return [...source]
    .filter(([path]) => path.startsWith(prefix))
    .map(([path, entry]) => [path.slice(prefix.length), entry]);
}

function withAttributes(entry: PlanEntry, { owner, mode }: Attributes): PlanEntry {
  const owned = owner && entry.type !== 'text' ? { ...entry, owner } : entry;
  return mode === undefined || owned.type === 'symlink' ? owned : { ...owned, mode };
}

function attributesOf({ flags, line }: Instruction, { kubefile, lookup }: CopyState): Attributes {
  const unsupported = (why: string, hint?: string): OciError =>
    kubefileError(kubefile, line, 'UNSUPPORTED', why, hint);
  for (const name of flags.keys()) {
    if (!['from', 'chown', 'chmod', 'link'].includes(name)) {
      throw unsupported(`--${name} is not supported`);
    }
  }
  const chown = expand(flags.get('chown') ?? '', lookup);
  const chmod = expand(flags.get('chmod') ?? '', lookup);
  const owner = /^(\d+)(?::(\d+))?$/.exec(chown);
  if (chown !== '' && !owner) {
    throw unsupported(
      `--chown=${chown} names a user`,
      'Without a container there is no /etc/passwd to look it up in; give numbers.',
    );
  }
  if (chmod !== '' && !/^[0-7]{3,4}$/.test(chmod)) {
    throw unsupported(`--chmod=${chmod} is not an octal mode`);
  }
  return {
    owner: owner ? { uid: Number(owner[1]), gid: Number(owner[2] ?? owner[1]) } : undefined,
    mode: chmod === '' ? undefined : Number.parseInt(chmod, 8),
  };
}

/** Whether `ADD` would take a file apart. */
async function isArchive(content: Content): Promise<boolean> {
  const compression = await compressionOf(content);
  if (compression) return true;
  const magic = { start: 257, end: 262 };
  if (content.size < magic.end) return false;
  return new TextDecoder().decode(await readAll(slice(content, magic), 5)) === 'ustar';
}
