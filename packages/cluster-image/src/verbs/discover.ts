import { OciError } from '@cluster-image/oci';
import { z } from 'zod';
import { contextCharts } from '../context-charts.ts';
import { type ContextDirectory, discoverIn, openContext } from '../context-directory.ts';
import { asked } from '../discover/asked.ts';
import { chainLines } from '../discover/chains.ts';
import type { Discovery } from '../discover/discovery.ts';
import { formatImages, type ListFormat, listFormats } from '../discover/formats.ts';
import { pinnedOrNewest } from '../lock/charts.ts';
import {
  driftOf,
  lockCommand,
  originText,
  requirePinned,
  requireResolved,
  tellSuspects,
} from '../lock/check.ts';
import { readLockfile } from '../lock/lockfile.ts';
import { probe } from '../probe.ts';
import { commonOptions, platformsOf, type Workspace, withWorkspace } from '../workspace.ts';
import { buildArgumentsOf, contextOptions } from './context-options.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  ...contextOptions.shape,
  why: z
    .string()
    .optional()
    .describe('Only this image, with all that brings it: charts, templates, values'),
  strict: z
    .boolean()
    .default(false)
    .describe('Fail when something looks like an image and nobody has said whether it is one'),
  probe: z
    .boolean()
    .default(false)
    .describe('Ask registries whether what looks like an image is there'),
  format: z
    .enum(['text', ...listFormats])
    .default('text')
    .describe(
      'text for people; or the images alone, as other tools read them: list, images-lock, zarf, hauler',
    ),
});

export interface Discovered extends Discovery {
  /** The images in the format of another tool, where one was asked for. */
  readonly formatted?: string;
}

export const discoverVerb: Verb<typeof options, Discovered> = {
  name: 'discover',
  summary: 'List the images that a context refers to, and where',
  positional: ['context'],
  options,
  run: (given, environment, context) =>
    withWorkspace(environment, given, context, given.context, async (workspace) => {
      const { file, bare, buildArg, why } = given;
      if (why !== undefined && given.format !== 'text') {
        throw new OciError('USAGE', '--why is for people, and --format for tools', {
          hint: 'Give one of them; --why takes --json as well.',
        });
      }
      const buildArguments = buildArgumentsOf(buildArg, workspace.configuration);
      const opened = await filled(await openContext(workspace.path(given.context)), workspace);
      const explain = why !== undefined;
      const read = await discoverIn(opened, { file, bare, buildArguments, explain }, workspace);
      const found = given.probe ? await probed(read, workspace) : read;
      if (why !== undefined) return asked(why, found);
      if (given.format === 'text') return found;
      return {
        ...found,
        formatted: await formatted(given, given.format, found, opened, workspace),
      };
    }),
  lines(found, given) {
    const { images, bases, suspects, unresolved, built = [], formatted } = found;
    if (formatted !== undefined) return formatted.trimEnd().split('\n');
    if (given?.why !== undefined) return chainLines(found);
    const named = [...images, ...bases];
    return [
      ...named.flatMap(({ reference, origins }) => [
        reference,
        ...origins.map((origin) => `  ${originText(origin)}`),
      ]),
      ...built.flatMap(({ reference, origins, location }) => [
        `${reference}  (built here, ${location})`,
        ...origins.map((origin) => `  ${originText(origin)}`),
      ]),
      ...(named.length + built.length === 0 ? ['no images'] : []),
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
  // Whoever asks why has an answer.
  failed: ({ suspects, unresolved }, given) =>
    given?.why === undefined &&
    (unresolved.length > 0 || (given?.strict === true && suspects.length > 0)),
};

/** The context with its charts of repositories in it, pinned or not. */
async function filled(opened: ContextDirectory, workspace: Workspace): Promise<ContextDirectory> {
  const { wanted, sources, place } = await contextCharts(opened, workspace);
  if (wanted.length === 0) return opened;
  const { charts } = (await readLockfile(opened.tree)) ?? {};
  return place(await pinnedOrNewest(wanted, charts, sources, workspace.context));
}

async function probed(found: Discovery, { network, context }: Workspace): Promise<Discovery> {
  return { ...found, suspects: await probe(found.suspects, network.upstream, context) };
}

/**
 * The images as another tool reads them. Throws INPUT_INVALID where some cannot be told, or are undecided
 * although that is refused; and, for a format that has digests, LOCK_DRIFT where the lockfile does not pin them all.
 */
async function formatted(
  given: z.infer<typeof options>,
  format: ListFormat,
  found: Discovery,
  { tree }: ContextDirectory,
  { configuration, context }: Workspace,
): Promise<string> {
  requireResolved(found);
  tellSuspects(found, { strict: given.strict }, context);
  if (format !== 'images-lock') return formatImages(format, found.images);
  const lockfile = await readLockfile(tree);
  const platforms = platformsOf([], configuration);
  requirePinned(
    driftOf({ ...found, bases: [] }, lockfile, platforms),
    lockCommand({ ...given, platform: [] }),
  );
  return formatImages(format, found.images, lockfile?.images);
}

function section<T>(title: string, all: readonly T[], line: (one: T) => string): readonly string[] {
  return all.length === 0 ? [] : ['', title, ...all.map((one) => `  ${line(one)}`)];
}
