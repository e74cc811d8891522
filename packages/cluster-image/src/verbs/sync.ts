import { OciError, type Platform, parsePlatform } from '@cluster-image/oci';
import { z } from 'zod';
import { cache } from '../cache.ts';
import { type LocatedRegistry, openRegistry, openTarget, type Prepare } from '../registries.ts';
import { nameFilter } from '../sync/names.ts';
import { reportLines, type SyncReport } from '../sync/report.ts';
import { sync } from '../sync.ts';
import { commonOptions, withWorkspace } from '../workspace.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  from: z
    .string()
    .describe(
      'Context, cluster image, registry:DIR or docker://HOST[/PREFIX] whose images are to be brought',
    ),
  to: z.string().describe('registry:DIR or docker://HOST[/PREFIX]'),
  only: z
    .array(z.string())
    .default([])
    .describe(
      'Images to bring, REPOSITORY[:TAG] as the source has them; * within a part of a path, ** across',
    ),
  except: z.array(z.string()).default([]).describe('Images to leave out, written alike'),
  platform: z
    .array(z.string())
    .default([])
    .describe(
      'Platform whose images tags are to name, os/arch[/variant]; of a context by default that of cluster-image.json, else linux/amd64',
    ),
  all: z
    .boolean()
    .default(false)
    .describe('Bring every index with the images of all platforms; registries are so by default'),
  keepHosts: z
    .boolean()
    .default(false)
    .describe(
      'Name the images of a context with their hosts, as a mirror with {host} in its URL is asked for them',
    ),
  referrers: z
    .boolean()
    .default(false)
    .describe('Bring what is about the images as well: signatures, attestations, SBOMs'),
});

type Given = z.infer<typeof options>;

export interface SyncedRegistry extends SyncReport {
  readonly from: string;
  readonly to: string;
}

export const syncVerb: Verb<typeof options, SyncedRegistry> = {
  name: 'sync',
  summary: 'Bring every image of a context, cluster image or registry into a registry',
  positional: ['from', 'to'],
  options,
  run: (given, environment, context) =>
    withWorkspace(
      environment,
      given,
      context,
      given.from.includes(':') ? '.' : given.from,
      async (workspace) => {
        const { from, to, all } = given;
        const filter = nameFilter(given.only, given.except);
        const platform = platformIn(given);
        const target = openTarget(to, workspace);
        const { network, store, engines, context: running } = workspace;
        // The images of a context have to be in the store before they can be brought anywhere.
        const fill: Prepare = (lockfile, { tree }) =>
          cache(
            lockfile,
            { registry: store.registry, whole: all },
            { upstream: network.upstream, tree, engines },
            running,
          );
        const source = await openRegistry(from, given, workspace, fill);
        const chosen = platformOf(platform, source);
        const referring = given.referrers ? source.referring : undefined;
        const { registry } = source;
        const choice = { filter, platform: chosen };
        const report = await sync({ registry, referring }, target, choice, running);
        if (report.images.length === 0) {
          running.report({
            type: 'warning',
            message: `there are no images at ${from}`,
            ...(from.startsWith('docker://') && {
              hint: 'A location is a registry or a prefix of repositories; one of them is named with --only.',
            }),
          });
        }
        return { from, to, ...report };
      },
    ),
  lines: (report) => reportLines(report, report.to),
  failed: ({ counts }) => counts.failed > 0,
};

/** Throws USAGE for platforms together with all of them. */
function platformIn({ platform, all }: Given): readonly Platform[] {
  const platforms = platform.map(parsePlatform);
  if (platforms.length === 0 || !all) return platforms;
  throw new OciError('USAGE', '--platform chooses one, --all brings all of them', {
    hint: 'Give one of the two.',
  });
}

/** The platform to choose at a source where that has not been done. Throws USAGE for several. */
function platformOf(
  [platform, ...others]: readonly Platform[],
  { name, isChosen }: LocatedRegistry,
): Platform | undefined {
  if (isChosen) return undefined;
  if (others.length === 0) return platform;
  throw new OciError('USAGE', `a tag of ${name} would name images of several platforms`, {
    hint: 'Choose one with --platform, or bring all with --all.',
  });
}
