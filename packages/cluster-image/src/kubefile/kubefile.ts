import { OciError, readAll, type Tree } from '@cluster-image/oci';
import { DockerfileParser, type Instruction as ParsedInstruction } from 'dockerfile-ast';

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
  readonly instructions: readonly Instruction[];
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
    { hint: 'A context is the directory with the build file; name another file with --file.' },
  );
}

export async function findKubefile(tree: Tree, name?: string): Promise<Kubefile | undefined> {
  for (const path of name ? [name] : buildFileNames) {
    const entry = await tree.entry(path);
    if (entry?.type !== 'file') continue;
    const text = new TextDecoder().decode(await readAll(entry.content, fileLimit));
    return { path, instructions: parse(path, text) };
  }
  return undefined;
}

function parse(path: string, text: string): readonly Instruction[] {
  const unix = text.replace(/^\uFEFF/, '').replace(/\r\n/g, '\n');
  const file = DockerfileParser.parse(unix);
  const escapeCharacter = file.getEscapeCharacter();
  const lines = unix.split('\n');
  return file.getInstructions().map((instruction) => {
    const line = instruction.getRange().start.line + 1;
    const keyword = instruction.getKeyword();
    const raw = instruction.getRawArgumentsContent() ?? '';
    const [first = ''] = raw.split('\n');
    const heredocs = heredocsOf(keyword, line, first, lines);
    return {
      keyword,
      line,
      flags: flagsOf(path, line, instruction),
      text: joinLines(heredocs.size > 0 ? first : raw, escapeCharacter).trim(),
      properties: propertiesOf(instruction),
      heredocs,
    };
  });
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

function propertiesOf(
  instruction: ParsedInstruction,
): readonly (readonly [string, string | undefined])[] {
  if (!('getProperties' in instruction) || typeof instruction.getProperties !== 'function') {
    return [];
  }
  const properties: readonly { getName(): string; getUnescapedValue(): string | null }[] =
    instruction.getProperties();
  return properties.map((property) => [
    property.getName(),
    property.getUnescapedValue() ?? undefined,
  ]);
}

/** Files written in place: the lines below an instruction that names them, up to a line that is the name. */
function heredocsOf(
  keyword: string,
  line: number,
  raw: string,
  lines: readonly string[],
): ReadonlyMap<string, Heredoc> {
  const found = new Map<string, Heredoc>();
  if (keyword !== 'COPY' && keyword !== 'ADD') return found;
  let at = line;
  for (const [, dash, quote, name = ''] of raw.matchAll(/<<(-?)(["']?)(\w+)\2/g)) {
    const body = dash ? lines.map((text) => text.replace(/^\t+/, '')) : lines;
    const end = body.indexOf(name, at);
    if (end < 0) continue;
    const text = body.slice(at, end).map((text) => `${text}\n`);
    found.set(name, { text: text.join(''), isLiteral: quote !== '' });
    at = end + 1;
  }
  return found;
}
