import { createHash } from 'node:crypto';

/** What an artifact of a build is known by. */
export interface ArtifactKey {
  readonly tool: 'nx' | 'turbo';
  /** Who may have written it. */
  readonly scope: string;
  /** Whose it is among those of one scope, as Turborepo says it; empty where it does not. */
  readonly team: string;
  readonly hash: string;
}

/** The scope that everybody reads. */
export const trustedScope = 'main';

/** Scopes become part of tags, which retention rules of registries look at the beginnings of. */
export function isScope(text: string): boolean {
  return /^[a-z0-9][a-z0-9.-]{0,47}$/.test(text);
}

/** Nx has decimal numbers of 64 bits, Turborepo 16 hexadecimal digits. */
export function isHash(text: string): boolean {
  return /^[0-9a-z]{1,40}$/.test(text);
}

/**
 * The tag that an artifact is stored under: `main_nx_348203904853156842`,
 * `pr-12_turbo_<digest of the team>_88ddd474fa429bbe`. No two keys have one tag, for neither scope nor
 * hash has an underscore.
 */
export function tagOf({ tool, scope, team, hash }: ArtifactKey): string {
  const shelf = createHash('sha256').update(team).digest('hex').slice(0, 16);
  return [scope, tool, ...(team === '' ? [] : [shelf]), hash].join('_');
}

/** A key in full, for the manifest to say and for people to read. */
export function nameOf({ tool, scope, team, hash }: ArtifactKey): string {
  return [tool, scope, ...(team === '' ? [] : [team]), hash].join(' ');
}
