import { posix } from 'node:path';
import { createProjectGraphAsync, type Tree, workspaceRoot } from '@nx/devkit';
import { type Context, codeOf, lockfileText, lockVerb } from 'cluster-image';

/** What Nx is told of a workspace that is not in step. */
interface OutOfSync {
  readonly outOfSyncMessage: string;
  readonly outOfSyncDetails: string[];
}

/** Nx shows nothing while it syncs, and may do so in its daemon. */
const silent: Context = {
  report() {},
  signal: new AbortController().signal,
  transfer: (job) => job(),
};

const executor = '@cluster-image/nx:lock-images';

/**
 * Keeps every lockfile in step with what its context refers to. What is pinned stays pinned; registries
 * are asked only for what is not.
 *
 * Throws where it could not look into all of the contexts and has nothing else to tell.
 */
export default async function sync(tree: Tree): Promise<OutOfSync | undefined> {
  const { nodes } = await createProjectGraphAsync();
  const contexts = Object.entries(nodes).flatMap(([name, { data }]) =>
    Object.values(data.targets ?? {})
      .filter((target) => target.executor === executor)
      .map(({ options }) => ({ name, options })),
  );
  const drifts: string[] = [];
  const failures: string[] = [];
  for (const { name, options } of contexts) {
    try {
      const given = lockVerb.options.parse(options ?? {});
      const drift = await driftOf(given);
      if (drift === undefined) continue;
      tree.write(posix.join(given.context, 'cluster-image.lock.json'), drift.text);
      drifts.push(`${name}: ${drift.why}`);
    } catch (error) {
      failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (drifts.length === 0 && failures.length > 0) throw new Error(failures.join('\n'));
  if (drifts.length === 0) return undefined;
  return {
    outOfSyncMessage: 'Lockfiles do not fit what their contexts refer to.',
    outOfSyncDetails: [...drifts, ...failures],
  };
}

type Options = Parameters<typeof lockVerb.run>[0];

/** Why a lockfile does not fit, and what it should be; undefined where it fits. */
async function driftOf(
  options: Options,
): Promise<{ readonly why: string; readonly text: string } | undefined> {
  const environment = { cwd: workspaceRoot, variables: process.env };
  try {
    await lockVerb.run({ ...options, check: true }, environment, silent);
    return undefined;
  } catch (error) {
    if (!(error instanceof Error) || codeOf(error) !== 'LOCK_DRIFT') throw error;
    const text = await lockfileText(options, environment, silent);
    return text === undefined ? undefined : { why: error.message, text };
  }
}
