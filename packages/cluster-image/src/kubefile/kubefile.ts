import { posix } from 'node:path';
import { type Content, OciError, readText, type Tree } from '@cluster-image/oci';
import { DockerfileParser, type Instruction as ParsedInstruction } from 'dockerfile-ast';
import { configurationName } from '../configuration-file.ts';
import { followed } from '../follow.ts';
import { findImageOptions, saidTwice } from './image-options.ts';
import { type Lookup, type Scope, splitWords } from './words.ts';

/** The names of build files, the first that is there being used, as with sealos. */
export const buildFileNames = ['Sealfile', 'Kubefile', 'Dockerfile', 'Containerfile'] as const;

/** The most that a build file may hold, in bytes. */
const fileLimit = 1024 * 1024;

export interface Instruction {
  /** In capitals. */
  readonly keyword: string;
  /** Counted from 1. */
  readonly line: number;
  readonly flags: ReadonlyMap<string, string>;
  /** What follows the keyword and its flags, on one line. */
  readonly text: string;
  /** For `ARG`, `ENV` and `LABEL`: names and values as they are written, quotes and all. */
  readonly properties: readonly (readonly [name: string, value: string | undefined])[];
  /** The files that are written in place (`<<EOF`), by name. */
  readonly heredocs: ReadonlyMap<string, Heredoc>;
}

export interface Heredoc {
  readonly text: string;
  /** Variables in it are not filled in. */
  readonly isLiteral: boolean;
}

export interface Kubefile {
  readonly path: string;
  /** `\`, or what the first line says instead. */
  readonly escapeSign: string;
  readonly instructions: readonly Instruction[];
}

/** What the words of an instruction are read with. */
export function scopeOf(
  kubefile: Pick<Kubefile, 'path' | 'escapeSign'>,
  { line }: Pick<Instruction, 'line'>,
  lookup: Lookup,
): Scope {
  return {
    lookup,
    escapeSign: kubefile.escapeSign,
    fault: (why, hint, code) => kubefileError(kubefile, line, code ?? 'INPUT_INVALID', why, hint),
  };
}

/** An error about a line of a build file. */
export function kubefileError(
  { path }: Pick<Kubefile, 'path'>,
  line: number,
  code: 'INPUT_INVALID' | 'UNSUPPORTED',
  why: string,
  hint?: string,
): OciError {
  return new OciError(code, `${path}:${line}: ${why}`, { hint });
}

/** The build file of a context. Throws NOT_FOUND where there is none, INPUT_INVALID where it cannot be read. */
export async function readKubefile(tree: Tree, name?: string): Promise<Kubefile> {
  const found = await findKubefile(tree, name);
  if (found) return found;
  throw new OciError(
    'NOT_FOUND',
    name
      ? `there is no ${name} in the context`
      : `there is no ${buildFileNames.join(', ')} in the context`,
    {
      hint: 'A context is the directory with the build file; name another file with --file, or say in cluster-image.json what the image is (image).',
    },
  );
}

/** That file of the context; else the first of the usual names, or what its configuration says of an image. */
export async function findKubefile(tree: Tree, name?: string): Promise<Kubefile | undefined> {
  const said = name ? undefined : await findImageOptions(tree);
  for (const given of name ? [name] : buildFileNames) {
    const path = posix.normalize(given);
    const file = await followed(tree, path);
    if (file && said) throw saidTwice(path, said);
    if (file) return parseKubefile(path, await textOf(file.content, path));
  }
  return said;
}

/** What a build file was read from. Throws UNSUPPORTED for one that is no file. */
export async function textOfKubefile(tree: Tree, { path }: Kubefile): Promise<string> {
  const file = path === configurationName ? undefined : await followed(tree, path);
  if (file) return plain(await textOf(file.content, path));
  throw new OciError('UNSUPPORTED', `${path}: what it says of the image is no build file`, {
    hint: 'Write a build file, or leave out --engine: what can be said there needs none.',
  });
}

/** Without the mark that some editors begin with, lines ended as on Unix. */
function plain(text: string): string {
  return text.replace(/^\uFEFF/, '').replace(/\r\n/g, '\n');
}

async function textOf(content: Content, path: string): Promise<string> {
  if (content.size > fileLimit) {
    throw new OciError('INPUT_INVALID', `${path} has over ${fileLimit} bytes`);
  }
  return readText(content, fileLimit);
}

export function parseKubefile(path: string, text: string): Kubefile {
  const unix = plain(text);
  const file = DockerfileParser.parse(unix);
  const escapeSign = file.getEscapeCharacter();
  const lines = unix.split('\n');
  const instructions = file.getInstructions().map((instruction) => {
    const line = instruction.getRange().start.line + 1;
    const keyword = instruction.getKeyword();
    const raw = instruction.getRawArgumentsContent() ?? '';
    const [first = ''] = raw.split('\n');
    const heredocs = heredocsOf(path, keyword, line, first, lines);
    const text = joinLines(heredocs.size > 0 ? first : raw, escapeSign).trim();
    return {
      keyword,
      line,
      flags: flagsOf(path, line, instruction),
      text,
      properties: propertiesOf(keyword, text, escapeSign),
      heredocs,
    };
  });
  return { path, escapeSign, instructions };
}

/** One logical line from several: continued lines joined, comments and empty lines between them left out. */
function joinLines(text: string, escapeCharacter: string): string {
  return text
    .split('\n')
    .filter((line, at) => at === 0 || !(/^\s*#/.test(line) || line.trim() === ''))
    .map((line) => {
      const end = line.trimEnd();
      return end.endsWith(escapeCharacter) ? end.slice(0, -1) : line;
    })
    .join('');
}

function flagsOf(
  path: string,
  line: number,
  instruction: ParsedInstruction,
): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  if (!('getFlags' in instruction) || typeof instruction.getFlags !== 'function') return flags;
  for (const flag of instruction.getFlags()) {
    const name: string = flag.getName();
    if (flags.has(name)) {
      throw kubefileError({ path }, line, 'INPUT_INVALID', `--${name} is given twice`);
    }
    flags.set(name, flag.getValue() ?? '');
  }
  return flags;
}

/** `ENV` and `LABEL` also have an older form, of one name and all that follows it. */
function propertiesOf(
  keyword: string,
  text: string,
  escapeSign: string,
): readonly (readonly [string, string | undefined])[] {
  if (!['ARG', 'ENV', 'LABEL'].includes(keyword)) return [];
  const words = splitWords(text, escapeSign);
  if (keyword === 'ARG' || words[0]?.includes('=')) return words.map(splitPair);
  const [, name = '', value] = /^(\S+)(?:\s+([\s\S]+))?$/.exec(text) ?? [];
  return [[name, value]];
}

function splitPair(word: string): readonly [string, string | undefined] {
  const at = word.indexOf('=');
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** Files written in place: the lines below an instruction that names them, up to a line that is the name. */
function heredocsOf(
  path: string,
  keyword: string,
  line: number,
  raw: string,
  lines: readonly string[],
): ReadonlyMap<string, Heredoc> {
  const found = new Map<string, Heredoc>();
  if ((keyword !== 'COPY' && keyword !== 'ADD') || raw.startsWith('[')) return found;
  let at = line;
  for (const { dash, quote, name } of heredocNames(raw)) {
    const body = dash ? lines.map((text) => text.replace(/^\t+/, '')) : lines;
    const end = body.indexOf(name, at);
    if (end < 0) {
      throw kubefileError({ path }, line, 'INPUT_INVALID', `there is no line ${name} below`);
    }
    const text = body.slice(at, end).map((text) => `${text}\n`);
    found.set(name, { text: text.join(''), isLiteral: quote !== '' });
    at = end + 1;
  }
  return found;
}

/** The name of the file that a word says is written in place. */
export function heredocName(word: string): string | undefined {
  return heredocNames(word)[0]?.name;
}

function heredocNames(raw: string) {
  return [...raw.matchAll(/(?<!\S)<<(-?)(["']?)([^\s<"']+)\2(?!\S)/g)].map(
    ([, dash = '', quote = '', name = '']) => ({ dash, quote, name }),
  );
}
