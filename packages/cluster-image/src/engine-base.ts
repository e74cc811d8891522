import { posix } from 'node:path';
import {
  bytes,
  describe,
  formatPlatform,
  formatReference,
  OciError,
  type Platform,
  parseReference,
  type Reference,
  type Tree,
  type TreeEntry,
} from '@cluster-image/oci';
import { asDirectory } from '@cluster-image/storage';
import { registryDirectory } from './assemble/assemble.ts';
import { ignoreFilesOf, type Source } from './assemble/source.ts';
import { cache } from './cache.ts';
import { type EngineName, engineBuild, keeperOf } from './engine-build.ts';
import { hostPath } from './host-path.ts';
import { deliver, openImage } from './images.ts';
import { type Kubefile, textOfKubefile } from './kubefile/kubefile.ts';
import { withOtherBases } from './kubefile/other-bases.ts';
import { requireForEngines } from './kubefile/supported.ts';
import type { LockedImage, Lockfile } from './lock/lockfile.ts';
import { partsRegistry, storedParts } from './parts.ts';
import { silent } from './workshop.ts';
import type { Workspace } from './workspace.ts';

export interface EngineBaseJob {
  /** The context. */
  readonly tree: Tree;
  readonly kubefile: Kubefile;
  /** What the build file may copy. */
  readonly source: Source;
  readonly lockfile: Lockfile;
  /** The bases that the workspace builds, and no registry has. */
  readonly builtHere: ReadonlySet<string>;
  /** What the cluster image is to be called. */
  readonly reference: Reference;
  readonly platform: Platform;
  readonly buildArguments: Readonly<Record<string, string>>;
  readonly engineArguments: readonly string[];
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
  const { tree, kubefile, platform, buildArguments, engineArguments } = job;
  requireForEngines(kubefile);
  const text = await textOfKubefile(tree, kubefile);
  await cacheBases(job, workspace);
  const names = await namesOfBases(engine, job, workspace);
  const pinned = withOtherBases(text, kubefile, buildArguments, (base) => names.get(base) ?? base);
  const name = posix.basename(kubefile.path);
  const buildFile = { type: 'file', path: name, mode: 0o644, content: bytes(pinned) } as const;
  const reference = nameForEngine(job.reference, job.reference.tag ?? 'latest');
  const image = await asDirectory([buildFile], (beside) =>
    asDirectory(contextOf(job), (path) => {
      const file = posix.join(beside, name);
      const build = { path, file, reference, platform, buildArguments, engineArguments };
      return engineBuild(engine, build, workspace);
    }),
  );
  const { root } = image;
  if (root.kind !== 'image') throw new OciError('TOOL', `${engine} built several images`);
  const { digest, mediaType, size } = describe(root);
  const manifests = { [formatPlatform(platform)]: { digest, size } };
  return { reference: formatReference(reference), pin: { digest, mediaType, size, manifests } };
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

/** Of those that a registry has, their configs are enough; the engine fetches the rest itself. */
async function cacheBases(job: EngineBaseJob, workspace: Workspace): Promise<void> {
  const { store, network, engines, context } = workspace;
  const sources = { upstream: network.upstream, tree: job.tree, engines };
  const some = (isMeant: (base: string) => boolean): Lockfile => {
    const bases = Object.entries(job.lockfile.bases).filter(([base]) => isMeant(base));
    return { ...job.lockfile, images: {}, bases: Object.fromEntries(bases) };
  };
  const parts = { registry: partsRegistry(storedParts(store)), wants: () => false };
  await cache(
    some((base) => isHere(base, job)),
    store,
    sources,
    silent(context),
  );
  await cache(
    some((base) => !isHere(base, job)),
    parts,
    sources,
    silent(context),
  );
}

function isHere(base: string, { lockfile, builtHere }: EngineBaseJob): boolean {
  return builtHere.has(base) || lockfile.bases[base]?.archive !== undefined;
}

/** What the engine is told to build upon: the pins, and of what no registry has, images handed over to it. */
async function namesOfBases(
  engine: EngineName,
  job: EngineBaseJob,
  workspace: Workspace,
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
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
