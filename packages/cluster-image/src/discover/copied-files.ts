import {
  type Content,
  type Digest,
  digestOf,
  type Platform,
  type Tree,
  type TreeEntry,
} from '@cluster-image/oci';
import type { PlanEntry } from '@cluster-image/storage';
import { type EarlierStage, evaluate, type Start } from '../assemble/evaluate.ts';
import { contextSource, ignoreTextOf, type Source } from '../assemble/source.ts';
import { stagesOf } from '../kubefile/bases.ts';
import type { BuildFileCommands } from '../kubefile/commands.ts';
import { findKubefile, type Kubefile } from '../kubefile/kubefile.ts';

/** The files that a build file puts into the image, as they will be there. */
export interface CopiedFiles {
  /** By paths in the image. */
  readonly tree: Tree;
  /** The file of the context that one of the image is made of; the build file for what is written in it. */
  originOf(path: string): string | undefined;
  /** What launches its applications, with paths in the image. */
  readonly commands: BuildFileCommands;
}

export interface CopyOptions {
  /** The build file, where it is not the first of the usual names. */
  readonly file?: string | undefined;
  readonly buildArguments: Readonly<Record<string, string>>;
  readonly platforms: readonly Platform[];
}

/**
 * What a build file copies, for each platform on which that is something else. Instructions that cannot
 * be followed are passed over. Nothing is read but names, and the build file.
 */
export async function copiedFiles(
  tree: Tree,
  { file, buildArguments, platforms }: CopyOptions,
): Promise<readonly CopiedFiles[]> {
  const kubefile = await findKubefile(tree, file);
  if (!kubefile) return [];
  const source = await contextSource(() => tree, await ignoreTextOf(tree, kubefile.path), []);
  const all = new Map<string, CopiedFiles>();
  for (const platform of platforms) {
    const { names, copied } = await copiedFor(kubefile, source, buildArguments, platform);
    if (!all.has(names)) all.set(names, copied);
  }
  return [...all.values()];
}

async function copiedFor(
  kubefile: Kubefile,
  source: Source,
  buildArguments: Readonly<Record<string, string>>,
  platform: Platform,
): Promise<{ readonly names: string; readonly copied: CopiedFiles }> {
  const paths = new Map<Content, string>();
  for (const entry of source.values()) {
    if ('content' in entry) paths.set(entry.content, entry.path);
  }
  const kept = new Map<Digest, Kept>();
  const done: EarlierStage[] = [];
  const options = { kubefile, platform, buildArguments, source, keep, isLenient: true };
  for (const stage of stagesOf(kubefile, buildArguments)) {
    const { base, name } = stage;
    const empty: Start = { config: {}, files: new Map() };
    const start = (base.kind === 'stage' && done[base.index]?.evaluated) || empty;
    done.push({ name, evaluated: await evaluate(stage, start, done, options) });
  }
  const { files = new Map<string, PlanEntry>(), sealer, config } = done.at(-1)?.evaluated ?? {};
  const entries = [...files.values()].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  return {
    names: JSON.stringify(entries),
    copied: {
      tree: treeOf(entries, kept),
      originOf(path) {
        const entry = files.get(path);
        return entry?.type === 'file' ? kept.get(entry.digest)?.origin : undefined;
      },
      commands: {
        file: kubefile.path,
        lines: sealer?.lines ?? [],
        variables: new Map((config?.Env ?? []).map(splitPair)),
      },
    },
  };

  /** The name of a file stands for what is in it, which nobody needs to read for that. */
  async function keep(
    content: Content,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const path = paths.get(content);
    const digest = digestOf(new TextEncoder().encode(path ?? `\n${kept.size}`));
    kept.set(digest, { content, origin: path ?? kubefile.path });
    return { digest, size: content.size };
  }
}

interface Kept {
  readonly content: Content;
  readonly origin: string;
}

function treeOf(sorted: readonly PlanEntry[], kept: ReadonlyMap<Digest, Kept>): Tree {
  const entries = new Map<string, TreeEntry>();
  for (const entry of sorted) {
    const { path, type } = entry;
    if (type === 'directory') entries.set(path, { type, path, mode: entry.mode });
    if (type === 'symlink') entries.set(path, { type, path, mode: 0o777, target: entry.target });
    const content = type === 'file' ? kept.get(entry.digest)?.content : undefined;
    if (type === 'file' && content) entries.set(path, { type, path, mode: entry.mode, content });
  }
  return {
    entry: async (path) => entries.get(path),
    async *entries(below = '') {
      for (const entry of entries.values()) {
        if (below === '' || entry.path.startsWith(`${below}/`)) yield entry;
      }
    },
  };
}

function splitPair(entry: string): readonly [string, string] {
  const [name = ''] = entry.split('=');
  return [name, entry.slice(name.length + 1)];
}

/** Directories come right before what is in them. */
function keyOf({ path }: PlanEntry): string {
  return path.replaceAll('/', '\0');
}
