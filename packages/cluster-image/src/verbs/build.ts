import { posix, relative, sep } from 'node:path';
import { formatReference } from '@cluster-image/oci';
import { z } from 'zod';
import { assemble, registryDirectory } from '../assemble/assemble.ts';
import { sealerImageTypes } from '../assemble/sealer-image.ts';
import { contextSource, ignoreTextOf, type Source } from '../assemble/source.ts';
import { type ContextDirectory, openContext } from '../context-directory.ts';
import { formatCount } from '../counts.ts';
import { applicationsOf } from '../discover/discovery.ts';
import { listsWithCredentials } from '../discover/given-lists.ts';
import { engineNames } from '../engine-build.ts';
import type { LocatedImage } from '../images.ts';
import { requirePlainBases } from '../kubefile/bases.ts';
import { readKubefile } from '../kubefile/kubefile.ts';
import { requireSupported } from '../kubefile/supported.ts';
import { parseLocation, parseTarget, type Target } from '../location.ts';
import { openWorkshop } from '../open-workshop.ts';
import { commonOptions, type Workspace, withWorkspace } from '../workspace.ts';
import { builtBy, madeByEngine } from './build-by-engine.ts';
import { type LockedJob, lockedJob, type Made, requireUsable } from './build-job.ts';
import { buildArgumentsOf, contextOptions, platformOption } from './context-options.ts';
import {
  handOver,
  imageName,
  type Outcome,
  outcomeLines,
  outcomeOptions,
  outcomeShort,
} from './outcome.ts';
import type { Verb } from './verb.ts';

/** The most layers that every runtime loads, with some to spare; dockerd refuses 126. */
const defaultMaxLayers = 100;

const options = commonOptions.extend({
  ...contextOptions.shape,
  ...platformOption.shape,
  ...outcomeOptions.shape,
  exclude: z
    .array(z.string())
    .default([])
    .describe('Paths in the context that are left out, beside those that its ignore file names'),
  since: z
    .string()
    .optional()
    .describe(
      'An earlier image of this kind, whose layers are taken over where they are the same; an image that --output overwrites is one anyway',
    ),
  engine: z
    .enum(['native', ...engineNames])
    .default('native')
    .describe('What follows the build file, if that has RUN (default native)'),
  engineArg: z
    .array(z.string())
    .default([])
    .describe('Argument that is passed on to the engine, --engine-arg=--network=none'),
  noStore: z
    .boolean()
    .default(false)
    .describe('Keep nothing here: stream from where the images are to --output docker://…'),
  maxLayers: z
    .int()
    .min(10)
    .max(1000)
    .optional()
    .describe('The most layers, base image included (default 100)'),
  type: z
    .enum(sealerImageTypes)
    .optional()
    .describe(
      'What sealer takes the image for (default kube-installer, of a build file of sealer)',
    ),
});

export interface Built extends Outcome {
  readonly images: number;
  /** What had to be fetched, in bytes. */
  readonly fetched: number;
}

export type BuildOptions = z.infer<typeof options>;

export const buildVerb: Verb<typeof options, Built> = {
  name: 'build',
  summary: 'Build the cluster image of a context',
  positional: ['context'],
  options,
  short: { ...outcomeShort, f: 'file' },
  run: (given, environment, context) =>
    withWorkspace(environment, given, context, given.context, async (workspace) => {
      const targets = given.output.map(parseTarget);
      const reference = imageName(given.tag, targets);
      const opened = await openContext(workspace.path(given.context));
      const kubefile = await readKubefile(opened.tree, given.file);
      const job = { given, targets, reference, opened, kubefile };
      requireUsable(job, workspace);
      if (given.engine === 'native') {
        requireSupported(kubefile);
        requirePlainBases(kubefile, buildArgumentsOf(given.buildArg, workspace.configuration));
      }
      const locked = await lockedJob(job, workspace);
      const { image, sources, images, fetched } =
        given.engine === 'native' || !given.bare
          ? await assembled(locked, workspace)
          : await builtBy(given.engine, locked, workspace);
      const isStored = !given.noStore;
      const made = { image, sources, reference, targets, isStored, ...mountable(given.since) };
      return { ...(await handOver(made, given, workspace)), images, fetched };
    }),
  lines: (built) => outcomeLines('built', built, `with ${formatCount(built.images, 'image')}`),
};

async function assembled(job: LockedJob, workspace: Workspace): Promise<Made> {
  const { given, targets, reference, opened, kubefile } = job;
  const { lockfile, directory, discovery, platforms, buildArguments } = job;
  const { configuration, store } = workspace;
  const maxLayers = given.maxLayers ?? configuration.maxLayers ?? defaultMaxLayers;
  const source = await sourceOf(directory, kubefile.path, given, targets, workspace);
  const made = await madeByEngine(job, source, workspace);
  const bases = made && { [made.reference]: made.pin };
  // The layers of other bases are in that one.
  const wanted = { ...lockfile, bases: bases ?? lockfile.bases };
  const workshop = await openWorkshop(wanted, opened.tree, { ...given, targets }, workspace);
  const image = await assemble(
    {
      name: formatReference(reference),
      kubefile,
      source,
      isBare: given.bare,
      lockfile: { ...lockfile, bases: { ...lockfile.bases, ...bases } },
      made: made?.reference,
      platforms,
      buildArguments,
      maxLayers,
      keepHosts: configuration.keepHosts,
      type: given.type ?? configuration.type,
      applications: applicationsOf(discovery),
    },
    workshop,
    workspace.context,
  );
  if (!given.noStore) await store.putImage(reference, image);
  const images = Object.keys(lockfile.images).length;
  return { image, sources: workshop.sources, images, fetched: workshop.fetched() };
}

/** The files of the context, without what this build itself writes there. */
async function sourceOf(
  { path, tree, open }: ContextDirectory,
  kubefile: string,
  { bare, thin, digestFile, exclude }: BuildOptions,
  targets: readonly Target[],
  workspace: Workspace,
): Promise<Source> {
  const files = targets.map((target) => ('path' in target ? target.path : undefined));
  const made = [thin, digestFile, ...files].filter((path) => path !== undefined);
  const inContext = (made: string): string =>
    relative(path, workspace.path(made)).split(sep).join('/');
  return contextSource(open, await ignoreTextOf(tree, kubefile), [
    ...(bare ? [] : madeElsewhere),
    ...listsWithCredentials(workspace.configuration),
    ...made.map(inContext),
    ...exclude.map((path) => posix.normalize(path).replace(/\/$/, '')),
  ]);
}

/** Where in its registry an earlier image lies, so that what a target lacks is mounted from there. */
function mountable(since: string | undefined): Pick<LocatedImage, 'mountFrom'> {
  const location = since === undefined ? undefined : parseLocation(since);
  return location?.kind === 'docker' ? { mountFrom: location.reference } : {};
}

/** Parts of a context that earlier runs made, of which the build takes none: it makes its own. */
const madeElsewhere = [`${registryDirectory}/docker`, `${registryDirectory}/.staging`];
