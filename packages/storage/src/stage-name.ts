import { randomUUID } from 'node:crypto';
import { formatMark, ownMark, type ProcessMark, parseMark } from './process-mark.ts';

/** What the name of a staged file says of it. */
export interface StageName {
  /** What the file is going to be. */
  readonly kind: string;
  /** Which process is at it; undefined for what was left for anyone to take. */
  readonly mark: ProcessMark | undefined;
}

/** A new name for a file that this process is at. */
export function stageName(kind: string): string {
  return [kind, formatMark(ownMark), randomUUID()].join('~');
}

/** A new name for a file that nobody is at. */
export function leftName(kind: string): string {
  return [kind, randomUUID()].join('~');
}

/** What a name says; undefined for one that is not ours. */
export function parseStageName(name: string): StageName | undefined {
  const [kind, ...rest] = name.split('~');
  const unique = rest.pop();
  if (!kind || !unique) return undefined;
  const mark = parseMark(rest.join('~'));
  return mark || rest.length === 0 ? { kind, mark } : undefined;
}
