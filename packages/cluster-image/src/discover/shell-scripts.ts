import { posix } from 'node:path';
import { readText, type Tree } from '@cluster-image/oci';
import { type FileEntry, followed } from '../follow.ts';
import { inContext } from './chart-renderings.ts';
import type { Field } from './shell-words.ts';

/** The most that a script may hold, in bytes. */
const scriptLimit = 1024 * 1024;

/** What runs the command that follows it, as it is. */
const wrappers: readonly string[] = ['sudo', 'exec', 'command', 'env', 'nohup', 'time'];

/** A command without what runs it, the flags of that and the variables it sets. */
export function unwrapped(words: readonly Field[]): readonly Field[] {
  const [first, ...others] = words;
  if (!first?.isTold || !wrappers.includes(first.text)) return words;
  const at = others.findIndex(({ text }) => !/^-|^\w+=/.test(text));
  return at < 0 ? [] : unwrapped(others.slice(at));
}

const shells: readonly string[] = ['sh', 'bash', 'dash', 'ash'];

function isShell(word: Field | undefined): boolean {
  return word !== undefined && shells.includes(posix.basename(word.text));
}

/** The text that a shell is told to read: `sh -c TEXT`, `eval TEXT`. */
export function textIn(words: readonly Field[]): string | undefined {
  const [first, ...others] = words;
  if (first?.text === 'eval') return others.map(({ text }) => text).join(' ');
  const at = isShell(first) ? others.findIndex(({ text }) => /^-\w*c$/.test(text)) : -1;
  return at < 0 ? undefined : others[at + 1]?.text;
}

/** The path of a script that a command runs: `bash PATH`, `. PATH`, or the path itself. */
export function scriptIn(words: readonly Field[]): string | undefined {
  const [first, ...others] = words;
  const isRun = isShell(first) || first?.text === '.' || first?.text === 'source';
  const script = isRun ? others.find(({ text }) => !/^[-+]/.test(text)) : first;
  // A word alone is a program on the PATH.
  const isPath = script?.isTold && (isRun || /[./]/.test(script.text));
  return isPath ? script.text : undefined;
}

/** The file that a path means, in the first of the directories where there is one. */
export async function fileIn(
  tree: Tree,
  path: string,
  directories: readonly string[],
): Promise<FileEntry | undefined> {
  for (const directory of directories) {
    const located = posix.isAbsolute(path) ? undefined : inContext(posix.join(directory, path));
    const file = located === undefined ? undefined : await followed(tree, located);
    if (file) return file;
  }
  return undefined;
}

/** The text of a script; undefined for what is none. */
export async function scriptText({ path, content }: FileEntry): Promise<string | undefined> {
  if (content.size > scriptLimit) return undefined;
  const text = await readText(content, scriptLimit);
  const isScript = /\.(?:sh|bash)$/.test(path) || /^#!.*\b(?:ba|da|a)?sh\b/.test(text);
  return isScript && !text.includes('\0') ? text : undefined;
}
