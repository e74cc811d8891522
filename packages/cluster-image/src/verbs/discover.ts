import { formatReference, parseReference } from '@cluster-image/oci';
import { z } from 'zod';
import { readConfiguration } from '../configuration.ts';
import { discoverIn, openContext } from '../context-directory.ts';
import type { Discovery } from '../discover/discovery.ts';
import { resolvePath } from '../environment.ts';
import { originText } from '../lock/check.ts';
import { buildArgumentsOf, contextOptions } from './context-options.ts';
import type { Verb } from './verb.ts';

const options = contextOptions.extend({
  why: z.string().optional().describe('Only this reference, with everywhere it is referred to'),
  strict: z
    .boolean()
    .default(false)
    .describe('Fail when something looks like an image and is none for sure'),
});

interface Result extends Discovery {
  /** Whether suspects count as failures; not part of what is printed. */
  readonly strict?: true;
}

export const discoverVerb: Verb<typeof options, Result> = {
  name: 'discover',
  summary: 'List the images that a context refers to, and where',
  positional: ['context'],
  options,
  async run({ context: given, file, buildArg, why, strict }, environment) {
    const path = resolvePath(environment, given);
    const buildArguments = buildArgumentsOf(buildArg, await readConfiguration(path));
    const context = await openContext(path);
    const found = await discoverIn(context, { file, buildArguments }, environment);
    const asked = why === undefined ? undefined : formatReference(parseReference(why));
    const isAsked = ({ reference }: { reference: string }): boolean =>
      asked === undefined || reference === asked;
    return {
      ...found,
      images: found.images.filter(isAsked),
      bases: found.bases.filter(isAsked),
      ...(strict && { strict }),
    };
  },
  lines({ images, bases, suspects, unresolved }) {
    const named = [...images, ...bases];
    return [
      ...named.flatMap(({ reference, origins }) => [
        reference,
        ...origins.map((origin) => `  ${originText(origin)}`),
      ]),
      ...(named.length === 0 ? ['no images'] : []),
      ...section(
        'looks like an image, and is not packed:',
        suspects,
        ({ text, reason, origins }) => `${text}  (${originText(origins[0])}, ${reason})`,
      ),
      ...section(
        'cannot be resolved:',
        unresolved,
        ({ text, reason, origin }) => `${originText(origin)}: ${text && `${text}: `}${reason}`,
      ),
    ];
  },
  failed: ({ suspects, unresolved, strict }) =>
    unresolved.length > 0 || (strict === true && suspects.length > 0),
};

function section<T>(title: string, all: readonly T[], line: (one: T) => string): readonly string[] {
  return all.length === 0 ? [] : ['', title, ...all.map((one) => `  ${line(one)}`)];
}
