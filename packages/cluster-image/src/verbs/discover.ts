import { formatReference, parseReference } from '@cluster-image/oci';
import { z } from 'zod';
import { discoverIn, openContext } from '../context-directory.ts';
import type { Discovery, Found } from '../discover/discovery.ts';
import { originText } from '../lock/check.ts';
import { probe } from '../probe.ts';
import { commonOptions, type Workspace, withWorkspace } from '../workspace.ts';
import { buildArgumentsOf, contextOptions } from './context-options.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  ...contextOptions.shape,
  why: z.string().optional().describe('Only this reference, with everywhere it is referred to'),
  strict: z
    .boolean()
    .default(false)
    .describe('Fail when something looks like an image and nobody has said whether it is one'),
  probe: z
    .boolean()
    .default(false)
    .describe('Ask registries whether what looks like an image is there'),
});

export const discoverVerb: Verb<typeof options, Discovery> = {
  name: 'discover',
  summary: 'List the images that a context refers to, and where',
  positional: ['context'],
  options,
  run: (given, environment, context) =>
    withWorkspace(environment, given, context, given.context, async (workspace) => {
      const { file, buildArg, why } = given;
      const buildArguments = buildArgumentsOf(buildArg, workspace.configuration);
      const opened = await openContext(workspace.path(given.context));
      const read = await discoverIn(opened, { file, buildArguments }, workspace);
      const found = given.probe ? await probed(read, workspace) : read;
      return why === undefined ? found : about(formatReference(parseReference(why)), found);
    }),
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
        ({ text, reason, origins, probed }) =>
          `${text}  (${[originText(origins[0]), reason, ...(probed ? [probed] : [])].join(', ')})`,
      ),
      ...section(
        'cannot be resolved:',
        unresolved,
        ({ text, reason, origin }) => `${originText(origin)}: ${text && `${text}: `}${reason}`,
      ),
    ];
  },
  failed: ({ suspects, unresolved }, given) =>
    unresolved.length > 0 || (given?.strict === true && suspects.length > 0),
};

async function probed(found: Discovery, { network, context }: Workspace): Promise<Discovery> {
  return { ...found, suspects: await probe(found.suspects, network.upstream, context) };
}

/** What was found of one reference. */
function about(asked: string, { images, bases, suspects }: Discovery): Discovery {
  const isAsked = ({ reference }: Found): boolean => reference === asked;
  return {
    images: images.filter(isAsked),
    bases: bases.filter(isAsked),
    suspects: suspects.filter(({ text }) => text === asked),
    unresolved: [],
  };
}

function section<T>(title: string, all: readonly T[], line: (one: T) => string): readonly string[] {
  return all.length === 0 ? [] : ['', title, ...all.map((one) => `  ${line(one)}`)];
}
