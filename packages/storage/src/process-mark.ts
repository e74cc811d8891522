import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** Which process left something behind. A pid alone is not enough: pids are used again, and disks are shared. */
export interface ProcessMark {
  /** Among which processes the pid is to be looked up: those of one host, or of one container on it. */
  readonly host: string;
  readonly pid: number;
  /** When the process started, in the system's own count; empty where it does not tell. */
  readonly started: string;
}

/** The mark of this process. */
export const ownMark: ProcessMark = {
  host: ownHost(),
  pid: process.pid,
  started: look(process.pid)?.started ?? '',
};

export function isOwn(mark: ProcessMark): boolean {
  return formatMark(mark) === formatMark(ownMark);
}

/** Whether the process is provably gone. One on another host never is. */
export function isGone(mark: ProcessMark): boolean {
  if (mark.host !== ownMark.host) return false;
  const found = look(mark.pid);
  if (found) return found.isDead || (mark.started !== '' && found.started !== mark.started);
  try {
    process.kill(mark.pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

export function formatMark({ host, pid, started }: ProcessMark): string {
  return [host, pid, started].join('~');
}

export function parseMark(text: string): ProcessMark | undefined {
  const [host, pid = '', started, ...more] = text.split('~');
  if (!host || !/^\d+$/.test(pid) || started === undefined || more.length > 0) return undefined;
  return { host, pid: Number(pid), started };
}

/** Containers may share a host's name and even its disks, and still number their processes on their own. */
function ownHost(): string {
  return createHash('sha256').update(`${hostname()} ${pidNamespace()}`).digest('hex').slice(0, 16);
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

/**
 * What `/proc/<pid>/stat` says (proc(5), fields 3 and 22); undefined where there is no such process
 * or no /proc. A process that is dead may be listed until its parent asks after it.
 */
function look(pid: number): { isDead: boolean; started: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { isDead: /^[ZXx]$/.test(fields[0] ?? ''), started: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}
