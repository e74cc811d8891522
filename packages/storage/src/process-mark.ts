import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';

/** Which process left something behind. A pid alone is not enough: pids are used again, and disks are shared. */
export const processMarkSchema = z.object({
  host: z.string(),
  pid: z.int(),
  /** When the process started, in the system's own count; empty where it does not tell. */
  started: z.string(),
});

export type ProcessMark = Readonly<z.infer<typeof processMarkSchema>>;

/** The mark of this process. */
export function ownMark(): ProcessMark {
  return { host: hostname(), pid: process.pid, started: startOf(process.pid) ?? '' };
}

export function isOwn(mark: ProcessMark): boolean {
  const own = ownMark();
  return mark.host === own.host && mark.pid === own.pid && mark.started === own.started;
}

/** Whether the process is provably gone. One on another host never is. */
export function isGone(mark: ProcessMark): boolean {
  if (mark.host !== hostname()) return false;
  const started = startOf(mark.pid);
  if (started !== undefined) return mark.started !== '' && started !== mark.started;
  try {
    process.kill(mark.pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

/** Field 22 of `/proc/<pid>/stat`, in clock ticks since boot; undefined where there is no such process or no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
