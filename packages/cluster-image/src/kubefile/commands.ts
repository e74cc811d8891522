import { OciError, type Tree } from '@cluster-image/oci';
import { argumentOf, type Stage, stagesOf } from './bases.ts';
import {
  findKubefile,
  type Instruction,
  type Kubefile,
  readKubefile,
  scopeOf,
} from './kubefile.ts';
import { expand, jsonWords } from './words.ts';

/** What an image is told to run. */
export interface BuildFileCommands {
  readonly file: string;
  /** Lines for a shell, each with the line of the build file it is from. */
  readonly lines: readonly { readonly text: string; readonly line: number }[];
  /** What is set by `ENV`, and by `ARG` for as long as the build lasts. */
  readonly variables: ReadonlyMap<string, string>;
}

/**
 * The commands of a context's build file, those of `ENTRYPOINT` first. What the build file is built
 * upon is not looked at. Undefined where there is no build file.
 */
export async function findCommands(
  tree: Tree,
  buildArguments: Readonly<Record<string, string>>,
  file?: string,
): Promise<BuildFileCommands | undefined> {
  const kubefile = file === undefined ? await findKubefile(tree) : await readKubefile(tree, file);
  if (!kubefile) return undefined;
  const stages = lineageOf(stagesOf(kubefile, buildArguments));
  const variables = new Map<string, string>();
  for (const stage of stages) setVariables(stage, kubefile, buildArguments, variables);
  const instructions = stages.flatMap((stage) => stage.instructions);
  const last = (keyword: string): Instruction | undefined =>
    instructions.findLast((instruction) => instruction.keyword === keyword);
  const lines = [last('ENTRYPOINT'), last('CMD')].flatMap((instruction) =>
    instruction
      ? shellLines(instruction.text).map((text) => ({ text, line: instruction.line }))
      : [],
  );
  return { file: kubefile.path, lines, variables };
}

/** The last stage and those that it is built upon, these first. */
function lineageOf(stages: readonly Stage[]): readonly Stage[] {
  const lineage: Stage[] = [];
  for (let stage = stages.at(-1); stage; ) {
    lineage.unshift(stage);
    const { base }: Stage = stage;
    stage = base.kind === 'stage' ? stages[base.index] : undefined;
  }
  return lineage;
}

/** What cannot be filled in is left to whoever assembles the image. */
function setVariables(
  { instructions, globals }: Stage,
  kubefile: Kubefile,
  buildArguments: Readonly<Record<string, string>>,
  variables: Map<string, string>,
): void {
  const fixed = new Set(variables.keys());
  for (const instruction of instructions) {
    const { keyword, properties } = instruction;
    if (keyword !== 'ARG' && keyword !== 'ENV') continue;
    const scope = scopeOf(kubefile, instruction, (name) => variables.get(name));
    const values = properties.map(([name, value]) => {
      const given = keyword === 'ARG' ? argumentOf(buildArguments, name) : undefined;
      return [name, given ?? (value === undefined ? globals.get(name) : expanded(value))] as const;
    });
    for (const [name, value] of values) {
      // An environment variable wins over an argument of its name.
      if (value === undefined || (keyword === 'ARG' && fixed.has(name))) continue;
      variables.set(name, value);
      if (keyword === 'ENV') fixed.add(name);
    }

    function expanded(text: string): string | undefined {
      try {
        return expand(text, scope);
      } catch (error) {
        if (error instanceof OciError) return undefined;
        throw error;
      }
    }
  }
}

/**
 * The lines of a command for a shell. Every element of the JSON form is one, as sealos has it, unless
 * it begins with a program alone, as docker has it.
 */
function shellLines(text: string): readonly string[] {
  const words = jsonWords(text);
  if (!words) return [text];
  const [first = ''] = words;
  const isProgram = /^(?:\S*\/)?(?:helm|(?:ba|da|a)?sh)$/.test(first) && words.length > 1;
  if (!isProgram) return words;
  // Sealos drops the shell itself.
  if (words[1] === '-c') return words.slice(2);
  return [words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')];
}
