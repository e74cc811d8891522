import { setTimeout as pause } from 'node:timers/promises';
import { type Context, OciError, throwIfAborted } from '@cluster-image/oci';
import type { Disk } from './disk.ts';
import { closing, ifExists, isUnwritable, onDisk } from './file-system.ts';
import { isGone, ownMark, type ProcessMark } from './process-mark.ts';
import { parseStageName, stageName } from './stage-name.ts';

/**
 * Who is at work with a store. Any number of processes may rely on what is in it, or one may remove
 * from it, never both: everyone puts a mark under `.uses/` first and looks at the others' then, so
 * that of two who begin at once at least one sees the other. Who prunes gives way.
 *
 * A mark is an empty file whose name says whose it is. Marks of processes that are gone do not count.
 * Whether one on another host, or in another container, is gone cannot be told; it counts for as long
 * as it is renewed.
 */
export interface Uses {
  /** Waits until nobody prunes. Throws ABORTED. */
  begin(context: Context): Promise<Use>;
  /** Waits until nobody else is at work, for a while. Throws CONFLICT, naming them, and ABORTED. */
  alone(context: Context): Promise<Use>;
}

export interface Use {
  end(): Promise<void>;
}

/** In milliseconds. */
export interface UseTimes {
  /** How often one looks whether the others are done. */
  readonly lookEvery: number;
  /** How long who prunes waits for the others. */
  readonly patience: number;
  /** How often a mark is renewed. */
  readonly renewEvery: number;
  /** After what time without renewal a mark from elsewhere counts no more. */
  readonly abandoned: number;
}

export const usesName = '.uses';

const defaultTimes: UseTimes = {
  lookEvery: 50,
  patience: 60_000,
  renewEvery: 60_000,
  abandoned: 600_000,
};

/** After so many looks one says what one waits for. */
const worthTelling = 20;

type Kind = 'use' | 'prune';

interface Mark extends Use {
  readonly path: string;
}

export function uses(disk: Disk, times: UseTimes = defaultTimes): Uses {
  const { fs } = disk;
  const { lookEvery, patience, renewEvery, abandoned } = times;

  return {
    async begin(context) {
      const own = await putIfWritable();
      try {
        await turns(context, async () => (await atWork(['prune'], own)).length === 0, 'pruned');
        return own ?? { end: async () => {} };
      } catch (error) {
        await own?.end();
        throw error;
      }
    },
    async alone(context) {
      let own: Mark | undefined;
      let others: readonly ProcessMark[] = [];
      const until = performance.now() + patience;
      const isAlone = async (): Promise<boolean> => {
        own = await put('prune');
        others = await atWork(['use', 'prune'], own).catch(async (error) => {
          await own?.end();
          throw error;
        });
        if (others.length === 0) return true;
        await own.end();
        if (performance.now() > until) throw inUse(disk.root, others);
        return false;
      };
      await turns(context, isAlone, 'used by others');
      return own ?? { end: async () => {} };
    },
  };

  async function turns(
    context: Context,
    isMine: () => Promise<boolean>,
    why: string,
  ): Promise<void> {
    for (let looks = 0; ; looks++) {
      if (await isMine()) return;
      throwIfAborted(context.signal);
      if (looks === worthTelling) {
        context.report({ type: 'warning', message: `waiting: ${disk.root} is being ${why}` });
      }
      // Not all at the same moments, or two who prune would give way to each other for ever.
      await pause(lookEvery * (1 + Math.random()));
    }
  }

  /** None in a store that can only be read: whoever may prune it has to know who reads it. */
  async function putIfWritable(): Promise<Mark | undefined> {
    try {
      return await put('use');
    } catch (error) {
      if (isUnwritable(error)) return undefined;
      throw error;
    }
  }

  async function put(kind: Kind): Promise<Mark> {
    const path = disk.path(usesName, stageName(kind));
    const handle = await onDisk(fs, path, () =>
      disk.making(path, () => fs.open(path, 'wx', 0o644)),
    );
    await closing(fs, path, handle, async () => {});
    const renewing = setInterval(() => void fs.chmod(path, 0o644).catch(() => {}), renewEvery);
    renewing.unref();
    return {
      path,
      async end() {
        clearInterval(renewing);
        await fs.rm(path, { force: true }).catch(() => {});
        await fs.rmdir(disk.path(usesName)).catch(() => {});
      },
    };
  }

  /** Those beside one's own that count; the others are swept away. */
  async function atWork(
    kinds: readonly Kind[],
    own: Mark | undefined,
  ): Promise<readonly ProcessMark[]> {
    const found: ProcessMark[] = [];
    for (const name of await disk.names(disk.path(usesName))) {
      const path = disk.path(usesName, name);
      const said = parseStageName(name);
      const kind = kinds.find((known) => known === said?.kind);
      if (!said?.mark || path === own?.path) continue;
      const counts = await isAtWork(path, said.mark, own);
      if (counts && kind) found.push(said.mark);
      if (!counts) await fs.rm(path, { force: true }).catch(() => {});
    }
    return found;
  }

  async function isAtWork(
    path: string,
    mark: ProcessMark,
    own: Mark | undefined,
  ): Promise<boolean> {
    if (mark.host === ownMark.host) return !isGone(mark);
    const renewed = await changed(path);
    // Told by the clock of the disk, which need not be that of this host.
    const now = (own && (await changed(own.path))) ?? Date.now();
    return renewed !== undefined && now - renewed < abandoned;
  }

  async function changed(path: string): Promise<number | undefined> {
    return (await onDisk(fs, path, () => ifExists(fs.lstat(path))))?.ctimeMs;
  }
}

function inUse(root: string, others: readonly ProcessMark[]): OciError {
  const names = others.map(({ host, pid }) =>
    host === ownMark.host ? `process ${pid}` : `process ${pid} elsewhere`,
  );
  return new OciError('CONFLICT', `${root} is in use by ${[...new Set(names)].join(', ')}`, {
    hint: 'Nothing is removed meanwhile. Prune when they have ended; what serves from the store uses it as long as it is asked.',
  });
}
