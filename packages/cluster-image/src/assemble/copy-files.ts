import { posix } from 'node:path';
import { bytes, type Content, type Digest, readText, slice } from '@cluster-image/oci';
import { compressionOf, isLayerPath, type Owner, type PlanEntry } from '@cluster-image/storage';
import PQueue from 'p-queue';
import { heredocName, type Instruction } from '../kubefile/kubefile.ts';
import { expand, expandText, type Scope, wordsOf } from '../kubefile/words.ts';
import {
  directoryEntry,
  isPattern,
  matchesCopyPattern,
  parentsOf,
  type Source,
  type SourceEntry,
} from './source.ts';

/** How many files are kept at a time. */
const filesAtOnce = 16;

/** What `COPY` and `ADD` work on. */
export interface CopyState {
  /** The files of the stage so far, by path without a leading slash; new ones are put in. */
  readonly files: Map<string, PlanEntry>;
  readonly workingDirectory: string;
  readonly scope: Scope;
  /** What is copied from: the context, or the stage that `--from` names. */
  readonly source: Source;
  /** What an image that the files come to lie upon has at a path. */
  readonly below?: (path: string) => Promise<'file' | 'directory' | 'symlink' | undefined>;
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
 * or of the source. https://docs.docker.com/reference/dockerfile/#copy
 */
export async function copyFiles(instruction: Instruction, state: CopyState): Promise<void> {
  const { files, scope, source } = state;
  const { fault } = scope;
  const attributes = attributesOf(instruction, scope);
  const words = wordsOf(instruction.text, scope);
  const target = words.at(-1);
  if (target === undefined || words.length < 2) {
    throw fault(`${instruction.keyword} needs a source and a destination`);
  }
  const destination = realPath(
    files,
    posix.resolve('/', state.workingDirectory, target).slice(1),
    fault,
  );
  const namesDirectory = /(?:^|\/)\.{0,2}$/.test(target);
  const matches = words.slice(0, -1).flatMap((word) => matched(word));
  if (matches.length > 1 && !namesDirectory) {
    throw fault('with several sources the destination has to end with /');
  }
  const keeping = new PQueue({ concurrency: filesAtOnce });
  /** Where directories really are, which were made if need be. */
  const made = new Map<string, string>();
  for (const match of matches) {
    if (match.kind === 'file') {
      const path = (await isDirectory()) ? posix.join(destination, match.name) : destination;
      if (instruction.keyword === 'ADD') await refuseArchive(match.entry);
      await put(match.entry, path);
      continue;
    }
    make(destination);
    const entries = await Promise.allSettled(
      match.entries.map(([path, entry]) => planned(entry, posix.join(destination, path))),
    );
    for (const entry of entries) {
      if (entry.status === 'rejected') throw entry.reason;
      place(entry.value);
    }
  }

  async function isDirectory(): Promise<boolean> {
    const known = files.get(destination)?.type;
    if (namesDirectory || known !== undefined) return namesDirectory || known === 'directory';
    return (await state.below?.(destination)) === 'directory';
  }

  function matched(word: string): readonly Match[] {
    const heredoc = heredocOf(word);
    if (heredoc) return [heredoc];
    if (/^(?:https?|git|ssh):|^git@/.test(word)) {
      throw fault(
        `${word} would have to be fetched during the build`,
        'Fetch it before, so that the build depends on nothing but the repository.',
        'UNSUPPORTED',
      );
    }
    // What would lead out of the context leads to its root, as with docker.
    const path = posix.resolve('/', word).slice(1);
    if (path === '') return [{ kind: 'directory', entries: [...source] }];
    const paths = isPattern(path)
      ? [...source.keys()].filter((candidate) => matchesCopyPattern(candidate, path))
      : [path];
    if (paths.length === 0) throw notThere(word);
    return paths.map((found) => matchAt(found, word));
  }

  function notThere(word: string) {
    const where = instruction.flags.has('from') ? 'that stage' : 'the context';
    const hint = 'Is it excluded by .dockerignore?';
    return fault(`there is no ${word} in ${where}`, where === 'the context' ? hint : undefined);
  }

  function heredocOf(word: string): Match | undefined {
    const name = heredocName(word) ?? '';
    const heredoc = instruction.heredocs.get(name);
    if (!heredoc) return undefined;
    const text = heredoc.isLiteral ? heredoc.text : expandText(heredoc.text, scope);
    const entry = { type: 'file', path: name, mode: 0o644, content: bytes(text) } as const;
    return { kind: 'file', name, entry };
  }

  /** A link that is named is followed; one that lies in a directory is copied as a link. */
  function matchAt(path: string, word: string): Match {
    const at = realPath(source, path, fault);
    const entry = source.get(at);
    if (!entry) {
      if (source.has(path)) throw fault(`${path} is a link that leads nowhere in the context`);
      throw notThere(word);
    }
    if (entry.type === 'directory') return { kind: 'directory', entries: below(source, at) };
    return { kind: 'file', name: posix.basename(path), entry };
  }

  async function put(entry: SourceEntry, path: string): Promise<void> {
    place(await planned(entry, path));
  }

  async function planned(entry: SourceEntry, path: string): Promise<PlanEntry> {
    if (entry.type === 'symlink') return linkEntry(entry, path);
    if (!('content' in entry)) return { ...entry, path };
    const { content, mode } = entry;
    const kept = await keeping.add(() => state.keep(content));
    return { type: 'file', path, mode, ...kept };
  }

  /** What is made for others to lie in has an owner that is given, but the usual mode. */
  function make(path: string): void {
    const inTheWay = makeDirectory(path, files, attributes.owner);
    if (inTheWay === undefined) return;
    throw fault(`${path} would be a directory, and ${inTheWay} is a file already`);
  }

  function place(entry: PlanEntry): void {
    const path = posix.join(insideOf(posix.dirname(entry.path)), posix.basename(entry.path));
    if (!isLayerPath(path)) throw fault(`${path} is not a path in an image`);
    if (posix.basename(path).startsWith('.wh.')) {
      throw fault(
        `${path} would be taken for a deletion mark`,
        'Names that begin with .wh. cannot be in an image.',
      );
    }
    const known = files.get(path);
    if (known && (known.type === 'directory') !== (entry.type === 'directory')) {
      throw fault(`${path} is a ${known.type} already and would become a ${entry.type}`);
    }
    // A link that comes or goes may lead elsewhere.
    if (entry.type === 'symlink' || known?.type === 'symlink') made.clear();
    files.set(path, withAttributes({ ...entry, path }, attributes));
  }

  /** Where a directory is a link, what comes below it comes where the link leads to. */
  function insideOf(directory: string): string {
    const known = made.get(directory);
    if (known !== undefined) return known;
    const inside = directory === '.' ? '' : realPath(files, directory, fault);
    make(inside);
    made.set(directory, inside);
    return inside;
  }

  async function refuseArchive(entry: SourceEntry): Promise<void> {
    if (!('content' in entry) || !(await isArchive(entry.content))) return;
    throw fault(
      `ADD would unpack ${entry.path}`,
      'COPY keeps an archive as it is; to have its files in the image, unpack it in the context.',
      'UNSUPPORTED',
    );
  }
}

/**
 * Makes a directory and those above it that are not there yet; the empty path is there. Returns the
 * path of what is there and no directory, if anything is.
 */
export function makeDirectory(
  path: string,
  files: Map<string, PlanEntry>,
  owner?: Owner,
): string | undefined {
  for (const each of path === '' ? [] : [...parentsOf(path), path]) {
    const known = files.get(each);
    if (known && known.type !== 'directory') return each;
    if (!known) files.set(each, { ...directoryEntry(each), ...(owner && { owner }) });
  }
  return undefined;
}

/** More links on one way than anybody means. */
const mostHops = 16;

/** A path with the links on it followed, as far as they lie in the source. */
export function realPath(source: Source, path: string, fault: Scope['fault']): string {
  let at = path;
  for (let hops = 0; hops <= mostHops; hops++) {
    const link = [...parentsOf(at), at]
      .map((head) => source.get(head))
      .find((entry) => entry?.type === 'symlink');
    if (link?.type !== 'symlink') return at;
    const rest = `.${at.slice(link.path.length)}`;
    at = posix.resolve('/', posix.dirname(link.path), link.target, rest).slice(1);
  }
  throw fault(`${path} is a loop of links`);
}

/** What lies below a directory, by its path in it. */
export function below(
  source: Source,
  directory: string,
): readonly (readonly [string, SourceEntry])[] {
  const prefix = `${directory}/`;
  return [...source]
    .filter(([path]) => path.startsWith(prefix))
    .map(([path, entry]) => [path.slice(prefix.length), entry]);
}

function linkEntry(entry: SourceEntry & { readonly type: 'symlink' }, path: string): PlanEntry {
  const owner = 'owner' in entry ? entry.owner : undefined;
  return { type: 'symlink', path, target: entry.target, ...(owner && { owner }) };
}

function withAttributes(entry: PlanEntry, { owner, mode }: Attributes): PlanEntry {
  const owned = owner && entry.type !== 'text' ? { ...entry, owner } : entry;
  return mode === undefined || owned.type === 'symlink' ? owned : { ...owned, mode };
}

function attributesOf({ flags }: Instruction, scope: Scope): Attributes {
  for (const name of flags.keys()) {
    if (!['from', 'chown', 'chmod', 'link'].includes(name)) {
      throw scope.fault(`--${name} is not supported`, undefined, 'UNSUPPORTED');
    }
  }
  const chown = expand(flags.get('chown') ?? '', scope);
  const chmod = expand(flags.get('chmod') ?? '', scope);
  const owner = /^(\d+)(?::(\d+))?$/.exec(chown);
  if (chown !== '' && !owner) {
    throw scope.fault(
      `--chown=${chown} names a user`,
      'Without a container there is no /etc/passwd to look it up in; give numbers.',
      'UNSUPPORTED',
    );
  }
  if (chmod !== '' && !/^[0-7]{3,4}$/.test(chmod)) {
    throw scope.fault(`--chmod=${chmod} is not an octal mode`, undefined, 'UNSUPPORTED');
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
  return (await readText(slice(content, magic), 5)) === 'ustar';
}
