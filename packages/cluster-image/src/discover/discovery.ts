/** Where a reference was seen. */
export interface Origin {
  /** Relative to the context, with `/`. */
  readonly file: string;
  /** Counted from 1; absent where a line of the file itself is not known. */
  readonly line?: number;
  /** How it came out of that file, for instance `helm template charts/web`. */
  readonly via?: string;
}

/** An image that the context refers to. */
export interface Found {
  /** With host, tag or digest: `docker.io/library/nginx:1.27`. */
  readonly reference: string;
  /** Where its bytes are, when that is a file of the context: `docker-archive:images/skopeo/app.tar`. */
  readonly archive?: string;
  /** The repository it goes by inside `registry/`, where that is not the reference's own. */
  readonly repository?: string;
  readonly origins: readonly Origin[];
}

/** A text that looks like an image where none is proven to be meant. */
export interface Suspect {
  readonly text: string;
  readonly reason: string;
  readonly origins: readonly Origin[];
}

/** A place where an image is meant, but not which. */
export interface Unresolved {
  readonly text: string;
  readonly reason: string;
  readonly origin: Origin;
}

export interface Discovery {
  /** What goes into the cluster image's registry, sorted by reference. */
  readonly images: readonly Found[];
  /** What the build file builds upon (`FROM`). */
  readonly bases: readonly Found[];
  readonly suspects: readonly Suspect[];
  readonly unresolved: readonly Unresolved[];
}

/** What one file, or one rendered chart, has to say. */
export interface Findings {
  readonly images: readonly Found[];
  readonly suspects: readonly Suspect[];
  readonly unresolved: readonly Unresolved[];
}

export const nothing: Findings = { images: [], suspects: [], unresolved: [] };

/** Puts findings together: one entry a reference, its origins in the order they were found. */
export function merge(all: readonly Findings[]): Findings {
  return {
    images: united(
      all.flatMap(({ images }) => images),
      ({ reference, archive }) => JSON.stringify([reference, archive]),
    ),
    suspects: united(
      all.flatMap(({ suspects }) => suspects),
      ({ text, reason }) => JSON.stringify([text, reason]),
    ),
    unresolved: all.flatMap(({ unresolved }) => unresolved),
  };
}

function united<T extends { readonly origins: readonly Origin[] }>(
  all: readonly T[],
  keyOf: (entry: T) => string,
): readonly T[] {
  const byKey = new Map<string, T>();
  for (const entry of all) {
    const key = keyOf(entry);
    const known = byKey.get(key);
    byKey.set(key, known ? { ...known, origins: distinct(known.origins, entry.origins) } : entry);
  }
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}

function distinct(known: readonly Origin[], more: readonly Origin[]): readonly Origin[] {
  const keys = new Set(known.map((origin) => JSON.stringify(origin)));
  return [...known, ...more.filter((origin) => !keys.has(JSON.stringify(origin)))];
}
