import {
  type Content,
  codeOf,
  type Digest,
  digestAlgorithm,
  digestHex,
  digestMismatch,
  type ErrorCode,
  type Hasher,
  hasher,
  sizeMismatch,
} from '@cluster-image/oci';
import { type Disk, type StagedFile, stagingName } from './disk.ts';
import { closing, type FileHandle, ifExists, onDisk } from './file-system.ts';
import { batchSize, fileWriter } from './file-writer.ts';
import { isGone } from './process-mark.ts';
import { takeTurn } from './turn.ts';

/**
 * Stores content at a path once all of it is there and its digest is right. What broke off is
 * resumed, by this process or a later one, from where it stopped; what another process has under way
 * is waited for.
 */
export type Stage = (content: Content, digest: Digest, target: string) => Promise<void>;

/** Where blobs are gathered before they are visible. */
export function stage(disk: Disk): Stage {
  const { fs } = disk;
  const running = new Map<string, Promise<void>>();

  // One after another for one target: the next finds it done, or goes on with a content of its own.
  return (content, digest, target) => {
    const before = running.get(target) ?? Promise.resolve();
    const job = before.catch(() => {}).then(() => store(content, digest, target));
    running.set(target, job);
    return job.finally(() => {
      if (running.get(target) === job) running.delete(target);
    });
  };

  async function store(content: Content, digest: Digest, target: string): Promise<void> {
    const isDone = async (): Promise<boolean> => {
      const found = await onDisk(fs, target, () => ifExists(fs.stat(target)));
      if (!found?.isFile() || found.size !== content.size) return false;
      disk.rely(target, found);
      return true;
    };
    if (await isDone()) return;
    await disk.sweep();
    const turn = await takeTurn(disk, disk.path(stagingName, kindOf(digest)), {
      isDone,
      progress: () => gathered(digest),
    });
    if (!turn) return;
    try {
      if (!(await isDone())) await gather(content, digest, target);
    } finally {
      await turn.end();
    }
  }

  async function gather(content: Content, digest: Digest, target: string): Promise<void> {
    const staged = disk.stagePath(kindOf(digest));
    try {
      await adopt(digest, staged);
      try {
        await fill(disk, staged, content, digest, target);
      } catch (error) {
        // What was left behind may be damaged, and a source may do better the second time.
        if (!isOneOf(mismatches, error)) throw error;
        await fs.rm(staged, { force: true });
        await fill(disk, staged, content, digest, target);
      }
      await disk.place(staged, target);
    } catch (error) {
      const isUseful = disk.resumable && !isOneOf([...mismatches, ...diskFailures], error);
      const given = isUseful
        ? fs.rename(staged, disk.leftPath(kindOf(digest)))
        : fs.rm(staged, { force: true });
      await given.catch(() => {});
      throw error;
    }
  }

  /** Takes over the most that was gathered of a blob before, and removes the rest. */
  async function adopt(digest: Digest, staged: string): Promise<void> {
    const left = (await parts(digest)).filter(({ mark }) => !mark || isGone(mark));
    const sized = await Promise.all(
      left.map(async ({ path }) => ({ path, size: await sizeOf(path) })),
    );
    let isTaken = false;
    for (const { path } of sized.sort((a, b) => b.size - a.size)) {
      await onDisk(fs, path, async () => {
        // The rename gives it to one taker only.
        if (isTaken) await fs.rm(path, { force: true });
        else isTaken = (await ifExists(fs.rename(path, staged).then(() => true))) ?? false;
      });
    }
    // It may have been whole and closed already.
    if (isTaken) await onDisk(fs, staged, () => fs.chmod(staged, 0o644));
  }

  /** How many bytes of a blob anyone has gathered. */
  async function gathered(digest: Digest): Promise<number> {
    const sizes = await Promise.all((await parts(digest)).map(({ path }) => sizeOf(path)));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  async function parts(digest: Digest): Promise<readonly StagedFile[]> {
    return (await disk.staged()).filter(({ kind }) => kind === kindOf(digest));
  }

  async function sizeOf(path: string): Promise<number> {
    return (await onDisk(fs, path, () => ifExists(fs.stat(path))))?.size ?? 0;
  }
}

function kindOf(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`;
}

const mismatches: readonly ErrorCode[] = ['DIGEST_MISMATCH', 'SIZE_MISMATCH'];
const diskFailures: readonly ErrorCode[] = ['NO_SPACE', 'FILE_SYSTEM'];

function isOneOf(codes: readonly ErrorCode[], error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && codes.includes(code);
}

/** Brings a staged file to the whole content, checks it and makes its bytes durable. */
async function fill(
  disk: Disk,
  staged: string,
  content: Content,
  digest: Digest,
  target: string,
): Promise<void> {
  const { fs } = disk;
  const handle = await onDisk(fs, target, () =>
    disk.making(staged, () => fs.open(staged, 'a+', 0o644)),
  );
  await closing(fs, target, handle, async () => {
    const hash = hasher(digestAlgorithm(digest));
    let size = await resume(handle, hash, content.size);
    const writer = fileWriter(fs, target, handle);
    try {
      for await (const chunk of rest(content, size)) {
        size += chunk.length;
        if (size > content.size) break;
        hash.update(chunk);
        await writer.write(chunk);
      }
    } finally {
      await writer.end();
    }
    if (size !== content.size) throw sizeMismatch('blob', digest, content.size, size);
    const actual = hash.digest();
    if (actual !== digest) throw digestMismatch('blob', digest, actual);
    await handle.chmod(0o444);
    await handle.sync();
  });
}

async function* rest(content: Content, at: number): AsyncIterable<Uint8Array> {
  if (at === 0) yield* content.open();
  else if (at < content.size) yield* content.open({ start: at, end: content.size });
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
