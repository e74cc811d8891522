import {
  type Content,
  codeOf,
  type Digest,
  digestAlgorithm,
  digestHex,
  digestMismatch,
  type Hasher,
  hasher,
  sizeMismatch,
} from '@cluster-image/oci';
import { type Disk, parseStageName, stagingName } from './disk.ts';
import { type FileSystem, ifExists, onDisk } from './file-system.ts';
import { batchSize, type FileHandle, fileWriter } from './file-writer.ts';
import { isGone, isOwn } from './process-mark.ts';
import { takeTurn } from './turn.ts';

/**
 * Stores content at a path once all of it is there and its digest is right. What broke off is
 * resumed, by this process or a later one, from where it stopped; what another process has under way
 * is waited for.
 */
export type Stage = (content: Content, digest: Digest, target: string) => Promise<void>;

/**
 * Where blobs are gathered before they are visible.
 *
 * @param resumable keep what arrived of a blob when the rest fails
 */
export function stage(disk: Disk, resumable: boolean): Stage {
  const { fs } = disk;
  const running = new Map<string, Promise<void>>();
  let swept: Promise<void> | undefined;

  // Two callers in one process share one job; the second one's content is never opened.
  return (content, digest, target) => {
    const job = running.get(target) ?? store(content, digest, target);
    running.set(target, job);
    return job.finally(() => running.delete(target));
  };

  async function store(content: Content, digest: Digest, target: string): Promise<void> {
    const isDone = async (): Promise<boolean> => {
      const found = await onDisk(fs, target, () => ifExists(fs.stat(target)));
      return found?.isFile() === true && found.size === content.size;
    };
    if (await isDone()) return;
    swept ??= sweep();
    await swept;
    // Made first, so that the directory of the turn exists.
    const staged = await disk.stagePath(kindOf(digest));
    const progress = (): Promise<number> => gathered(digest);
    const turn = await takeTurn(disk, disk.path(stagingName, `${kindOf(digest)}.turn`), {
      isDone,
      progress,
    });
    if (!turn) return;
    try {
      if (!(await isDone())) await gather(content, digest, staged, target);
    } finally {
      await turn.end();
    }
  }

  async function gather(
    content: Content,
    digest: Digest,
    staged: string,
    target: string,
  ): Promise<void> {
    try {
      await adopt(digest, staged);
      try {
        await fill(fs, staged, content, digest);
      } catch (error) {
        // What was left behind may be damaged, and a source may do better the second time.
        if (!isMismatch(error)) throw error;
        await fs.rm(staged, { force: true });
        await fill(fs, staged, content, digest);
      }
      await disk.place(staged, target);
    } catch (error) {
      if (!resumable || isMismatch(error)) await fs.rm(staged, { force: true }).catch(() => {});
      throw error;
    }
  }

  /** Takes over what was gathered of a blob before; the rename gives it to one taker only. */
  async function adopt(digest: Digest, staged: string): Promise<void> {
    for (const { path, mark } of await parts(digest)) {
      if (path === staged || !(isGone(mark) || isOwn(mark))) continue;
      const taken = await onDisk(fs, path, () =>
        ifExists(fs.rename(path, staged).then(() => true)),
      );
      if (taken) return;
    }
  }

  /** How many bytes of a blob anyone has gathered. */
  async function gathered(digest: Digest): Promise<number> {
    let size = 0;
    for (const { path } of await parts(digest)) size += (await ifExists(fs.stat(path)))?.size ?? 0;
    return size;
  }

  async function parts(digest: Digest) {
    return (await staging()).filter(({ kind }) => kind === kindOf(digest));
  }

  async function staging() {
    const names = await disk.names(disk.path(stagingName));
    return names.flatMap((name) => {
      const left = parseStageName(name);
      return left ? [{ ...left, path: disk.path(stagingName, name) }] : [];
    });
  }

  /** Removes what processes that are gone have left, apart from blobs that can be resumed. */
  async function sweep(): Promise<void> {
    for (const { kind, mark, path } of await staging()) {
      if (isGone(mark) && (kind === 'file' || !resumable)) await fs.rm(path, { force: true });
    }
  }
}

function kindOf(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`;
}

function isMismatch(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'DIGEST_MISMATCH' || code === 'SIZE_MISMATCH';
}

/** Brings a staged file to the whole content, checks it and makes its bytes durable. */
async function fill(
  fs: FileSystem,
  staged: string,
  content: Content,
  digest: Digest,
): Promise<void> {
  const handle = await onDisk(fs, staged, () => fs.open(staged, 'a+', 0o644));
  try {
    const hash = hasher(digestAlgorithm(digest));
    let at = await onDisk(fs, staged, () => resume(handle, hash, content.size));
    const writer = fileWriter(fs, staged, handle);
    try {
      const rest = at === 0 ? undefined : { start: at, end: content.size };
      for await (const chunk of content.open(rest)) {
        at += chunk.length;
        if (at > content.size) break;
        hash.update(chunk);
        await writer.write(chunk);
      }
    } finally {
      await writer.end();
    }
    if (at !== content.size) throw sizeMismatch('blob', digest, content.size, at);
    const actual = hash.digest();
    if (actual !== digest) throw digestMismatch('blob', digest, actual);
    await onDisk(fs, staged, async () => {
      await handle.chmod(0o444);
      await handle.sync();
    });
  } finally {
    await handle.close();
  }
}

/** Hashes what is there already and returns how much that is; starts over where it cannot be a part of the content. */
async function resume(handle: FileHandle, hash: Hasher, size: number): Promise<number> {
  const there = (await handle.stat()).size;
  if (there > size) {
    await handle.truncate(0);
    return 0;
  }
  const buffer = Buffer.allocUnsafe(Math.min(there, batchSize));
  let at = 0;
  while (at < there) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, there - at), at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return at;
}
