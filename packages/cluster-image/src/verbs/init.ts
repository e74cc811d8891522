import { basename, join, resolve } from 'node:path';
import { bytes, formatReference, OciError, readText } from '@cluster-image/oci';
import { file, saveFile } from '@cluster-image/storage';
import { applyEdits, modify, type ParseError, parse } from 'jsonc-parser';
import { z } from 'zod';
import { workspaceRoot } from '../configuration.ts';
import { resolvePath } from '../environment.ts';
import { contextScripts, newContext, turboTasks } from '../scaffold.ts';
import { imageName } from './outcome.ts';
import type { Verb } from './verb.ts';

const options = z.object({
  context: z.string().default('.').describe('Directory to make a context of'),
  tag: z.string().optional().describe('Name of its image, NAME[:TAG]; else that of the directory'),
  turbo: z.boolean().default(false).describe('Add the tasks to the turbo.json of the workspace'),
});

interface Initialized {
  /** What was written, relative to where the command runs. */
  readonly written: readonly string[];
  /** What the new `push-image` pushes to, where the name says no registry. */
  readonly assumed?: string;
}

export const initVerb: Verb<typeof options, Initialized> = {
  name: 'init',
  summary: 'Make a context of a directory: a Kubefile, scripts, and tasks for Turborepo',
  positional: ['context'],
  options,
  async run({ context, tag, turbo }, environment) {
    const path = resolvePath(environment, context);
    const name = basename(resolve(path));
    const reference = imageName(tag ?? name, []);
    const written: string[] = [];
    const write = async (target: string, text: string): Promise<void> => {
      await saveFile(target, bytes(text));
      written.push(target.replace(`${environment.cwd}/`, ''));
    };
    for (const [name, text] of Object.entries(newContext)) {
      const target = join(path, name);
      if (!(await file(target))) await write(target, text);
    }
    const scripts = contextScripts(tag ?? name);
    const packageFile = join(path, 'package.json');
    const added = await edit(packageFile, { name, private: true }, 'scripts', scripts, write);
    if (turbo) {
      const root = await workspaceRoot(path);
      const empty = { $schema: 'https://turborepo.com/schema.json' };
      await edit(join(root, 'turbo.json'), empty, 'tasks', turboTasks, write);
    }
    const isAssumed = reference.host === 'docker.io' && !tag?.startsWith('docker.io/');
    const isNew = added.includes('push-image');
    return { written, ...(isNew && isAssumed && { assumed: formatReference(reference) }) };
  },
  lines: ({ written, assumed }) =>
    written.length === 0
      ? ['nothing to do']
      : [...written.map((path) => `wrote ${path}`), ...assumptionLines(assumed)],
};

function assumptionLines(assumed: string | undefined): readonly string[] {
  if (assumed === undefined) return [];
  return [
    `push-image pushes to ${assumed}, as the name says no registry`,
    '  for another one write HOST/NAME:TAG in the scripts of package.json',
  ];
}

/** The most that a file of JSON may hold that people edit, in bytes. */
const fileLimit = 1024 * 1024;

/** Adds entries to an object in a file of JSON, and tells which; what is there already, comments and all, stays. */
async function edit(
  path: string,
  empty: object,
  key: string,
  entries: Readonly<Record<string, unknown>>,
  write: (path: string, text: string) => Promise<void>,
): Promise<readonly string[]> {
  const content = await file(path);
  const before = content ? await readText(content, fileLimit) : undefined;
  let text = before ?? `${JSON.stringify(empty, undefined, 2)}\n`;
  const errors: ParseError[] = [];
  const parsed: unknown = parse(text, errors, { allowTrailingComma: true });
  const known = z.looseObject({ [key]: z.record(z.string(), z.unknown()).default({}) });
  const there = known.safeParse(parsed);
  if (errors.length > 0 || !there.success) {
    throw new OciError('INPUT_INVALID', `${path} is not JSON with an object in ${key}`, {
      hint: 'Mend it and run the command again.',
    });
  }
  const formattingOptions = { insertSpaces: !/^\t/m.test(text), tabSize: 2 };
  const added = Object.keys(entries).filter((name) => !Object.hasOwn(there.data[key] ?? {}, name));
  for (const name of added) {
    text = applyEdits(text, modify(text, [key, name], entries[name], { formattingOptions }));
  }
  if (text !== before) await write(path, text);
  return added;
}
