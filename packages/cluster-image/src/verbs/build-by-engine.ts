import type { Source } from '../assemble/source.ts';
import { type EngineBase, type EngineJob, engineBase, engineImage } from '../engine-base.ts';
import type { EngineName } from '../engine-build.ts';
import type { Workspace } from '../workspace.ts';
import type { LockedJob, Made } from './build-job.ts';

/** What an engine makes of a build file, and nothing else. */
export async function builtBy(
  engine: EngineName,
  job: LockedJob,
  workspace: Workspace,
): Promise<Made> {
  const { path } = job.opened;
  const image = await engineImage(engine, engineJob(job), path, workspace);
  return { image, sources: workspace.store.blobs, images: 0, fetched: 0 };
}

/**
 * What the engine that was asked for makes of the build file of a cluster image, to be built upon.
 *
 * @param source the files of the context
 */
export async function madeByEngine(
  job: LockedJob,
  source: Source,
  workspace: Workspace,
): Promise<EngineBase | undefined> {
  const { engine } = job.given;
  if (engine === 'native') return undefined;
  return engineBase(engine, { ...engineJob(job), source }, workspace);
}

function engineJob(job: LockedJob): EngineJob {
  const { given, opened, discovery, platforms } = job;
  const [platform = { os: 'linux', architecture: 'amd64' }] = platforms;
  return {
    ...job,
    tree: opened.tree,
    builtHere: new Set(discovery.built?.map(({ reference }) => reference)),
    platform,
    engineArguments: given.engineArg,
  };
}
