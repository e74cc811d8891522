import { formatReference, OciError, parseReference, type Tree } from '@cluster-image/oci';
import type { Found } from '../discover/discovery.ts';
import { findKubefile, type Instruction, type Kubefile, kubefileError } from './kubefile.ts';
import { expand, type Lookup } from './words.ts';

/** What an image is built upon: nothing, another image, or an earlier stage of the same file. */
export type Base =
  | { readonly kind: 'scratch' }
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
  const lookup: Lookup = (name) => globals.get(name);
  const stages: { -readonly [K in keyof Stage]: Stage[K] }[] = [];
  for (const instruction of kubefile.instructions) {
    const current = stages.at(-1);
    if (instruction.keyword === 'FROM') {
      const [image = '', as, name, ...rest] = expand(instruction.text, lookup).split(/\s+/);
      if (image === '' || (as !== undefined && as.toUpperCase() !== 'AS') || rest.length > 0) {
        throw kubefileError(
          kubefile,
          instruction.line,
          'INPUT_INVALID',
          'not FROM image [AS name]',
        );
      }
      const base = baseOf(kubefile, instruction, image, stages);
      stages.push({
        base,
        name: name?.toLowerCase(),
        from: instruction,
        instructions: [],
        globals,
      });
    } else if (current) {
      current.instructions = [...current.instructions, instruction];
    } else if (instruction.keyword === 'ARG') {
      for (const [name, value] of instruction.properties) {
        const given =
          buildArguments[name] ?? (value === undefined ? undefined : expand(value, lookup));
        if (given !== undefined) globals.set(name, given);
      }
    } else {
      throw kubefileError(
        kubefile,
        instruction.line,
        'INPUT_INVALID',
        `${instruction.keyword} comes before the first FROM`,
      );
    }
  }
  if (stages.length === 0) {
    throw kubefileError(
      kubefile,
      1,
      'INPUT_INVALID',
      'there is no FROM',
      'Begin with FROM scratch.',
    );
  }
  return stages;
}

function baseOf(
  kubefile: Kubefile,
  { line, flags }: Instruction,
  image: string,
  stages: readonly Stage[],
): Base {
  if (flags.has('platform')) {
    throw kubefileError(
      kubefile,
      line,
      'UNSUPPORTED',
      'FROM --platform is not supported',
      'The base image is taken for the platform that is built.',
    );
  }
  const index = stages.findIndex(({ name }) => name === image.toLowerCase());
  if (index >= 0) return { kind: 'stage', index };
  if (image === 'scratch') return { kind: 'scratch' };
  try {
    return { kind: 'image', reference: formatReference(parseReference(image)) };
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    throw kubefileError(kubefile, line, 'INPUT_INVALID', error.message);
  }
}

/** The images that a context's build file is built upon. None where there is no build file. */
export async function findBases(
  tree: Tree,
  buildArguments: Readonly<Record<string, string>>,
  file?: string,
): Promise<readonly Found[]> {
  const kubefile = await findKubefile(tree, file);
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
