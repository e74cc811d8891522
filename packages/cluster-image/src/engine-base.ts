import { join, posix } from 'node:path';
import {
  bytes,
  describe,
  formatPlatform,
  formatReference,
  type Platform,
  parseReference,
  type Reference,
  type Tree,
  type TreeEntry,
} from '@cluster-image/oci';
import { asDirectory, type VirtualImage } from '@cluster-image/storage';
import { registryDirectory } from './assemble/assemble.ts';
import { ignoreFilesOf, type Source } from './assemble/source.ts';
import { cache } from './cache.ts';
import { type EngineName, engineBuild, keeperOf } from './engine-build.ts';
import { followed } from './follow.ts';
import { hostPath } from './host-path.ts';
import { deliver, openImage } from './images.ts';
import { stagesOf } from './kubefile/bases.ts';
import { type Kubefile, textOfKubefile } from './kubefile/kubefile.ts';
import { withOtherBases } from './kubefile/other-bases.ts';
import { requireForEngines } from './kubefile/supported.ts';
import type { LockedImage, Lockfile } from './lock/lockfile.ts';
import { partsRegistry, storedParts } from './parts.ts';
import { silent } from './workshop.ts';
import type { Workspace } from './workspace.ts';

/** What an engine is to build. */
export interface EngineJob {
  /** The context. */
  readonly tree: Tree;
  readonly kubefile: Kubefile;
  readonly lockfile: Lockfile;
  /** The bases that the workspace builds, and no registry has. */
  readonly builtHere: ReadonlySet<string>;
  /** What the image is to be called. */
  readonly reference: Reference;
  readonly platform: Platform;
  readonly buildArguments: Readonly<Record<string, string>>;
  readonly engineArguments: readonly string[];
}

export interface EngineBaseJob extends EngineJob {
  /** What the build file may copy. */
  readonly source: Source;
}

/** An image that a cluster image is made upon. */
export interface EngineBase {
  readonly reference: string;
  readonly pin: LockedImage;
}

/**
 * Has a container engine do what a build file of a cluster image says, with an empty `registry/`: the
 * images do not go through the engine, they are laid upon what it makes. What the build file is built
 * upon is what the lockfile pins. Of the bases the store then has manifests and configs.
 *
 * Throws UNSUPPORTED for what no engine understands, and what `engineBuild` throws.
 */
export async function engineBase(
  engine: EngineName,
  job: EngineBaseJob,
  workspace: Workspace,
): Promise<EngineBase> {
  const { kubefile, platform } = job;
  const buildFile = fileEntry(
    posix.basename(kubefile.path),
    await pinnedText(engine, job, workspace),
  );
  await cacheConfigs(job, workspace);
  const reference = nameForEngine(job.reference, job.reference.tag ?? 'latest');
  const image = await asDirectory([buildFile], (beside) =>
    asDirectory(contextOf(job), (path) =>
      engineBuild(
        engine,
        { ...job, path, file: join(beside, buildFile.path), reference },
        workspace,
      ),
    ),
  );
  const { digest, mediaType, size } = describe(image.root);
  const manifests = { [formatPlatform(platform)]: { digest, size } };
  return { reference: formatReference(reference), pin: { digest, mediaType, size, manifests } };
}

/**
 * Has a container engine do all that a build file says, upon what the lockfile pins. Throws as
 * `engineBase` does.
 *
 * @param path the directory of the context, which the engine gets as it is
 */
export async function engineImage(
  engine: EngineName,
  job: EngineJob,
  path: string,
  workspace: Workspace,
): Promise<VirtualImage> {
  const { tree, kubefile, lockfile } = job;
  const text = await pinnedText(engine, job, workspace);
  if (Object.keys(lockfile.bases).length === 0) {
    return engineBuild(engine, { ...job, path, file: join(path, kubefile.path) }, workspace);
  }
  const name = posix.basename(kubefile.path);
  const beside = [fileEntry(name, text)];
  // The build file is elsewhere then, and what it alone leaves out of the context with it.
  for (const ending of ['.dockerignore', '.containerignore']) {
    const ignored = await followed(tree, `${kubefile.path}${ending}`);
    if (ignored) beside.push({ ...ignored, path: `${name}${ending}` });
  }
  return asDirectory(beside, (directory) =>
    engineBuild(engine, { ...job, path, file: join(directory, name) }, workspace),
  );
}

/** The build file as the engine is to read it, built upon what the lockfile pins. */
async function pinnedText(
  engine: EngineName,
  job: EngineJob,
  workspace: Workspace,
): Promise<string> {
  const { tree, kubefile, buildArguments } = job;
  requireForEngines(kubefile);
  const text = await textOfKubefile(tree, kubefile);
  for (const { base, from } of stagesOf(kubefile, buildArguments)) {
    if (base.kind !== 'varying') continue;
    workspace.context.report({
      type: 'warning',
      message: `${kubefile.path}:${from.line}: $${base.variable} in FROM is filled in by ${engine}, and what that names is not pinned`,
      hint: 'Build upon an image for several platforms by one name.',
    });
  }
  const names = await namesOfBases(engine, job, workspace);
  return withOtherBases(text, kubefile, buildArguments, (base) => names.get(base) ?? base);
}

function fileEntry(path: string, text: string): TreeEntry {
  return { type: 'file', path, mode: 0o644, content: bytes(text) };
}

/** What images are called in an engine that are nobody's business there. */
function nameForEngine({ host, repository }: Reference, tag: string): Reference {
  const path = posix.join('cluster-image', hostPath(host), repository);
  return { host: 'localhost', repository: path, tag };
}

/** The context as the engine gets it. What an ignore file leaves out of it is left out already. */
function contextOf({ source, kubefile }: EngineBaseJob): readonly TreeEntry[] {
  const ignoreFiles = ignoreFilesOf(kubefile.path);
  const entries = [...source.values()].flatMap((entry): readonly TreeEntry[] => {
    if (entry.type === 'directory')
      return [{ type: 'directory', path: entry.path, mode: entry.mode }];
    if (entry.type === 'symlink') return [{ ...entry, mode: 0o777 }];
    return 'content' in entry && !ignoreFiles.includes(entry.path) ? [entry] : [];
  });
  return source.has(registryDirectory)
    ? entries
    : [...entries, { type: 'directory', path: registryDirectory, mode: 0o755 }];
}

/** Brings manifests and configs of the bases that a registry has; the engine fetches the rest itself. */
async function cacheConfigs(job: EngineJob, workspace: Workspace): Promise<void> {
  const parts = partsRegistry(storedParts(workspace.store));
  const bases = basesOf(job, (base) => !isHere(base, job));
  await cacheBases(bases, { registry: parts, wants: () => false }, job, workspace);
}

async function cacheBases(
  bases: Lockfile,
  into: Parameters<typeof cache>[1],
  { tree }: EngineJob,
  { network, engines, context }: Workspace,
): Promise<void> {
  await cache(bases, into, { upstream: network.upstream, tree, engines }, silent(context));
}

function basesOf({ lockfile }: EngineJob, isMeant: (base: string) => boolean): Lockfile {
  const bases = Object.entries(lockfile.bases).filter(([base]) => isMeant(base));
  return { ...lockfile, images: {}, bases: Object.fromEntries(bases) };
}

function isHere(base: string, { lockfile, builtHere }: EngineJob): boolean {
  return builtHere.has(base) || lockfile.bases[base]?.archive !== undefined;
}

/** What the engine is told to build upon: the pins, and of what no registry has, images handed over to it. */
async function namesOfBases(
  engine: EngineName,
  job: EngineJob,
  workspace: Workspace,
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  await cacheBases(
    basesOf(job, (base) => isHere(base, job)),
    workspace.store,
    job,
    workspace,
  );
  for (const [base, { digest, manifests }] of Object.entries(job.lockfile.bases)) {
    const { tag: _, ...image } = parseReference(base);
    const pinned = { ...image, digest };
    if (!isHere(base, job)) {
      names.set(base, formatReference(pinned));
      continue;
    }
    const chosen = manifests[formatPlatform(job.platform)]?.digest ?? digest;
    const reference = nameForEngine(image, chosen.replace(':', '-'));
    const source = await openImage(
      { kind: 'store', reference: { ...image, digest: chosen } },
      workspace,
    );
    await deliver(
      { ...source, name: formatReference(reference) },
      { kind: keeperOf(engine), reference },
      workspace,
    );
    names.set(base, formatReference(reference));
  }
  return names;
}
