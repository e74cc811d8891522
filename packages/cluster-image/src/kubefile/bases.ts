import { formatReference, OciError, parseReference, type Tree } from '@cluster-image/oci';
import type { Found } from '../discover/discovery.ts';
import {
  findKubefile,
  type Instruction,
  type Kubefile,
  kubefileError,
  readKubefile,
  scopeOf,
} from './kubefile.ts';
import { expand, type Scope } from './words.ts';

/**
 * What an image is built upon: nothing, another image, or an earlier stage of the same file. Which image
 * that is may depend on the platform, by a variable that container engines set.
 */
export type Base =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'varying'; readonly variable: string }
  | { readonly kind: 'image'; readonly reference: string }
  | { readonly kind: 'stage'; readonly index: number };

export interface Stage {
  readonly base: Base;
  readonly name: string | undefined;
  readonly from: Instruction;
  readonly instructions: readonly Instruction[];
  /** Arguments declared before the first `FROM`, which a stage may ask for by name. */
  readonly globals: ReadonlyMap<string, string>;
}

/** The stages of a build file, each from its `FROM` on. */
export function stagesOf(
  kubefile: Kubefile,
  buildArguments: Readonly<Record<string, string>>,
): readonly Stage[] {
  const globals = new Map<string, string>();
  const stages: (Stage & { readonly instructions: Instruction[] })[] = [];
  for (const instruction of kubefile.instructions) {
    const current = stages.at(-1);
    const scope = scopeOf(kubefile, instruction, (name) => globals.get(name));
    if (instruction.keyword === 'FROM') {
      stages.push({ ...stageOf(instruction, globals, stages, scope), instructions: [] });
    } else if (current) {
      current.instructions.push(instruction);
    } else if (instruction.keyword === 'ARG') {
      for (const [name, value] of instruction.properties) {
        const fallback = value === undefined ? undefined : expand(value, scope);
        const given = argumentOf(buildArguments, name) ?? fallback;
        if (given !== undefined) globals.set(name, given);
      }
    } else {
      throw scope.fault(`${instruction.keyword} comes before the first FROM`);
    }
  }
  if (stages.length > 0) return stages;
  const hint = 'Begin with FROM scratch.';
  throw kubefileError(kubefile, 1, 'INPUT_INVALID', 'there is no FROM', hint);
}

/** The value that was given for an `ARG`. */
export function argumentOf(
  buildArguments: Readonly<Record<string, string>>,
  name: string,
): string | undefined {
  return Object.hasOwn(buildArguments, name) ? buildArguments[name] : undefined;
}

function stageOf(
  instruction: Instruction,
  globals: ReadonlyMap<string, string>,
  earlier: readonly Stage[],
  scope: Scope,
): Omit<Stage, 'instructions'> {
  const words = instruction.text.split(/\s+/).map((word) => expand(word, scope));
  const [image = '', as, name, ...rest] = words;
  const isForm = words.length === 1 || (words.length === 3 && as?.toUpperCase() === 'AS');
  if (image === '' || !isForm || rest.length > 0) throw scope.fault('not FROM image [AS name]');
  if (name !== undefined && !/^[a-z][a-z0-9_.-]*$/i.test(name)) {
    throw scope.fault(`${JSON.stringify(name)} is not the name of a stage`);
  }
  const own = name?.toLowerCase();
  if (own !== undefined && earlier.some((stage) => stage.name === own)) {
    throw scope.fault(`there is a stage ${name} already`);
  }
  const base = baseOf(instruction, image, earlier, scope);
  return { base, name: own, from: instruction, globals };
}

function baseOf(
  { text }: Instruction,
  image: string,
  stages: readonly Stage[],
  { fault, lookup }: Scope,
): Base {
  const [, variable] = /\$\{?((?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT))\b/.exec(text) ?? [];
  if (variable !== undefined && lookup(variable) === undefined)
    return { kind: 'varying', variable };
  const index = stages.findIndex(({ name }) => name === image.toLowerCase());
  if (index >= 0) return { kind: 'stage', index };
  if (image === 'scratch') return { kind: 'scratch' };
  try {
    return { kind: 'image', reference: formatReference(parseReference(image)) };
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    throw fault(error.message);
  }
}

/** Throws UNSUPPORTED where a base is not simply the image for the platform that is built, naming the line. */
export function requirePlainBases(
  kubefile: Kubefile,
  buildArguments: Readonly<Record<string, string>>,
): void {
  for (const { base, from } of stagesOf(kubefile, buildArguments)) {
    const [flag] = from.flags.keys();
    if (flag === undefined && base.kind !== 'varying') continue;
    const what = base.kind === 'varying' ? `$${base.variable} in FROM` : `FROM --${flag}`;
    const hint =
      'The base is always taken for the platform that is built, unless an engine builds.';
    throw kubefileError(kubefile, from.line, 'UNSUPPORTED', `${what} is not supported`, hint);
  }
}

/** The images that a context's build file is built upon. None where there is no build file. */
export async function findBases(
  tree: Tree,
  buildArguments: Readonly<Record<string, string>>,
  file?: string,
): Promise<readonly Found[]> {
  const kubefile = file === undefined ? await findKubefile(tree) : await readKubefile(tree, file);
  if (!kubefile) return [];
  return stagesOf(kubefile, buildArguments).flatMap(({ base, from }) =>
    base.kind === 'image'
      ? [
          {
            reference: base.reference,
            origins: [{ file: kubefile.path, line: from.line, via: 'FROM' }],
          },
        ]
      : [],
  );
}
