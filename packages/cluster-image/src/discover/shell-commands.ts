import { posix } from 'node:path';
import type { Tree } from '@cluster-image/oci';
import { forEachChild, parse, type SyntaxNode } from 'unbash';
import { LineCounter } from 'yaml';
import { inContext } from './chart-renderings.ts';
import { fileIn, scriptIn, scriptText, textIn, unwrapped } from './shell-scripts.ts';
import {
  type Field,
  longestText,
  type Variables,
  type WordReader,
  wordReader,
} from './shell-words.ts';

/** A command of a build file, or of a script that is run. */
export interface ShellCommand {
  readonly words: readonly Field[];
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** Directories of the context, any of which its paths may be relative to; the likeliest first. */
  readonly directories: readonly string[];
}

/** A text that a shell gets to read. */
export interface ShellText {
  readonly text: string;
  readonly file: string;
  /** Where it begins, counted from 1. */
  readonly line: number;
  /** What `$(NAME)` stands for in it where that is no command. */
  readonly substituted?: (name: string) => string | undefined;
}

/** How much work is done for all texts together: about a word, or a variable that is copied, is one. */
const workLimit = 100_000;

/** How many variables are known at a time. */
const variableLimit = 500;

/** How many scripts may run each other. */
const depthLimit = 8;

/** How a shell stands at some point. */
interface State {
  readonly variables: Map<string, string | undefined>;
  /** In the context. */
  directory: string;
}

/** Where in which text a node is, and what is known there. */
interface Within {
  readonly shell: ShellText;
  readonly lines: LineCounter;
  readonly state: State;
  /** The bodies of functions. */
  readonly later: SyntaxNode[];
}

type Branch = (within: Within) => Promise<void>;

/**
 * The commands named `program` in shell texts and in the scripts of the context that these run,
 * whatever that depends on, with as much filled in as can be told without running anything. Variables
 * have the values that they were given before, unless it depends on something whether they were.
 */
export async function shellCommands(
  tree: Tree,
  program: string,
  texts: readonly ShellText[],
  variables: Variables,
): Promise<readonly ShellCommand[]> {
  const found: ShellCommand[] = [];
  const running: string[] = [];
  let left = workLimit;
  for (const text of texts) await run(text, { variables: new Map(variables), directory: '' });
  return found;

  async function run(shell: ShellText, state: State): Promise<void> {
    const text = shell.text.replace(/\r\n/g, '\n');
    const lines = new LineCounter();
    lines.lineStarts.push(0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1));
    const later: SyntaxNode[] = [];
    await visit(parse(text), { shell, lines, state, later });
    // Functions are mostly called at the end, when all that they use is known.
    for (const body of later) {
      await visit(body, { shell, lines, state: copyOf(state), later: [] });
    }
  }

  async function visit(node: SyntaxNode, within: Within): Promise<void> {
    if (left <= 0) return;
    switch (node.type) {
      case 'Command':
        return command(node, within);
      case 'Function':
        within.later.push(node.body);
        return;
      case 'Subshell':
        return children(node, { ...within, state: copyOf(within.state) });
      case 'Elif':
        return children(node, within);
      case 'While':
        return maybe(within, [(inner) => children(node, inner)]);
      case 'Case':
        return maybe(within, node.items.map(visitor));
      case 'If': {
        const { clause, then, elif } = node;
        await visit(clause, within);
        return maybe(within, [then, ...elif, ...(node.else ? [node.else] : [])].map(visitor));
      }
      case 'For':
        return maybe(within, [(inner) => loop(node, inner)]);
      case 'AndOr': {
        for (const [at, part] of node.commands.entries()) {
          if (node.operators[at - 1] !== '||') await visit(part, within);
          else await maybe(within, [visitor(part)]);
        }
        return;
      }
      default:
        return children(node, within);
    }
  }

  async function children(node: SyntaxNode, within: Within): Promise<void> {
    const all: SyntaxNode[] = [];
    forEachChild(node, (child) => void all.push(child));
    for (const child of all) await visit(child, within);
  }

  function visitor(node: SyntaxNode): Branch {
    return (within) => visit(node, within);
  }

  /** Goes several ways from here. Of what is set on one, nobody can tell afterwards whether it was. */
  async function maybe(within: Within, branches: readonly Branch[]): Promise<void> {
    const ends: State[] = [];
    for (const branch of branches) {
      left -= within.state.variables.size;
      const state = copyOf(within.state);
      await branch({ ...within, state });
      ends.push(state);
    }
    const { variables } = within.state;
    for (const [name, value] of ends.flatMap((state) => [...state.variables])) {
      if (!variables.has(name) || variables.get(name) !== value) variables.set(name, undefined);
    }
  }

  async function loop(node: Extract<SyntaxNode, { type: 'For' }>, within: Within): Promise<void> {
    const { fields } = readerOf(within);
    const values = (node.wordlist ?? []).flatMap(fields);
    const areTold = values.length > 0 && values.every(({ isTold }) => isTold);
    for (const value of areTold ? values : [undefined]) {
      within.state.variables.set(node.name.value, value?.text);
      await visit(node.body, within);
    }
  }

  async function command(node: Command, within: Within): Promise<void> {
    left -= 1;
    const { shell, lines, state } = within;
    await children(node, within);
    assignIn(node, within);
    const { name, args } = node;
    if (!name) return;
    const { fields } = readerOf(within);
    const words = unwrapped(
      [name, ...args].flatMap((each) => (each.type === 'Word' ? fields(each) : [])),
    );
    left -= words.reduce((sum, { text }) => sum + 1 + text.length / 100, 0);
    const [first, second] = words;
    if (!first?.isTold) return;
    if (first.text === 'cd') {
      const directory = second?.isTold ? posix.join(state.directory, second.text) : '';
      state.directory = inContext(directory) ?? '';
      return;
    }
    const line = shell.line + lines.linePos(node.pos).line - 1;
    const own = posix.dirname(shell.file);
    const directories = [...new Set([state.directory, '', own === '.' ? '' : own])];
    if (posix.basename(first.text) === program) {
      found.push({ words, file: shell.file, line, directories });
      return;
    }
    const text = textIn(words);
    if (text === undefined) await runScript(words, directories, state);
    else await run({ ...shell, text, line }, copyOf(state));
  }

  async function runScript(
    words: readonly Field[],
    directories: readonly string[],
    state: State,
  ): Promise<void> {
    const path = scriptIn(words);
    left -= path === undefined ? 0 : 10;
    const file = path === undefined ? undefined : await fileIn(tree, path, directories);
    if (!file || running.includes(file.path) || running.length >= depthLimit) return;
    const text = await scriptText(file);
    if (text === undefined) return;
    running.push(file.path);
    const isSourced = words[0]?.text === '.' || words[0]?.text === 'source';
    await run({ text, file: file.path, line: 1 }, isSourced ? state : copyOf(state));
    running.pop();
  }
}

type Command = Extract<SyntaxNode, { type: 'Command' }>;

function copyOf({ variables, directory }: State): State {
  return { variables: new Map(variables), directory };
}

function readerOf({ shell, state }: Within): WordReader {
  return wordReader(state.variables, shell.substituted);
}

const declarations: readonly string[] = ['export', 'readonly', 'declare', 'local', 'typeset'];

/** Sets the variables that a command without a name sets, or one that is about variables. */
function assignIn({ name, prefix, args }: Command, within: Within): void {
  const { variables } = within.state;
  const isDeclaration = name && declarations.includes(name.value);
  for (const each of name ? (isDeclaration ? args : []) : prefix) {
    if (each.type !== 'Assignment') continue;
    const { value, append, index } = each;
    const text = value.type === 'Word' && !index ? readerOf(within).value(value) : undefined;
    const before = append ? variables.get(each.name) : '';
    if (!variables.has(each.name) && variables.size >= variableLimit) continue;
    const all = text === undefined || before === undefined ? undefined : before + text;
    // What is too long for a word is no value either.
    variables.set(each.name, all !== undefined && all.length <= longestText ? all : undefined);
  }
  if (name?.value !== 'read' && name?.value !== 'unset') return;
  for (const each of args) if (each.type === 'Word') variables.set(each.value, undefined);
}
