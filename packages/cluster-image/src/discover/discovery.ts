import { compareBytes } from '@cluster-image/oci';

/** Where a reference was seen. */
export interface Origin {
  /** Relative to the context, with `/`. */
  readonly file: string;
  /** Counted from 1; absent where a line of the file itself is not known. */
  readonly line?: number;
  /** How it came out of that file, for instance `helm template charts/web`. */
  readonly via?: string;
  /** The application of the build file that it is for. */
  readonly application?: string;
  /** The line of what was rendered, counted from 1; told where it is asked why an image is there. */
  readonly rendered?: number;
  /** The values of a chart that it is put together from, as far as they are known; likewise. */
  readonly values?: readonly ValueOrigin[];
}

/** Where a value of a chart is set. */
export interface ValueOrigin extends Pick<Origin, 'file' | 'line' | 'via'> {
  /** Where it is in that file: `image.tag`, `containers[0].image`. */
  readonly key: string;
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
  /** What its registry said, where it was asked. */
  readonly probed?: 'found' | 'absent' | 'unknown';
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
  /** What goes into the registry as well, and is built in this workspace; absent where there is none. */
  readonly built?: readonly Built[];
}

/** An image that the workspace builds itself. */
export interface Built extends Found {
  /** Where it is, once it is built: `oci:/home/me/shop/apps/api/dist/image`. */
  readonly location: string;
  /** The build file builds upon it. */
  readonly isBase: boolean;
}

/** What one file, or one rendered chart, has to say. */
export interface Findings {
  readonly images: readonly Found[];
  readonly suspects: readonly Suspect[];
  readonly unresolved: readonly Unresolved[];
}

export const nothing: Findings = { images: [], suspects: [], unresolved: [] };

/** The applications that images are for, by reference; undefined stands for whoever else refers to them. */
export function applicationsOf({
  images,
}: Discovery): ReadonlyMap<string, readonly (string | undefined)[]> {
  return new Map(
    images.map(({ reference, origins }) => [
      reference,
      [...new Set(origins.map(({ application }) => application))],
    ]),
  );
}

/** Findings one after another, as they are. */
export function together(all: readonly Findings[]): Findings {
  const [only] = all;
  if (only && all.length === 1) return only;
  return {
    images: all.flatMap(({ images }) => images),
    suspects: all.flatMap(({ suspects }) => suspects),
    unresolved: all.flatMap(({ unresolved }) => unresolved),
  };
}

/**
 * Puts findings together: one entry a reference, its origins in the order they were found. What an
 * archive brings is that archive's, whoever else refers to it.
 */
export function merge(all: readonly Findings[]): Findings {
  const images = united(
    all.flatMap(({ images }) => images),
    ({ reference }) => reference,
  );
  return {
    images: images.map((group) => joined(supplied(group), group)),
    suspects: united(
      all.flatMap(({ suspects }) => suspects),
      ({ text, reason }) => JSON.stringify([text, reason]),
    ).map((group) => joined(group[0], group)),
    unresolved: [...all.flatMap(({ unresolved }) => unresolved), ...images.flatMap(contested)],
  };
}

/** Those that have the same key, sorted by it. */
function united<T>(all: readonly T[], keyOf: (entry: T) => string): readonly Group<T>[] {
  const groups = Map.groupBy(all, keyOf);
  return [...groups]
    .sort(([a], [b]) => compareBytes(a, b))
    .flatMap(([, [first, ...others]]): Group<T>[] => (first ? [[first, ...others]] : []));
}

type Group<T> = readonly [T, ...(readonly T[])];

function supplied(group: Group<Found>): Found {
  const { repository, ...archived } = group.find(({ archive }) => archive) ?? group[0];
  // Whoever refers to it otherwise asks for it by the reference's own repository.
  const isVerbatim = repository !== undefined && group.every(({ archive }) => archive);
  return isVerbatim ? { ...archived, repository } : archived;
}

/** One name for the images of two archives. */
function contested(group: Group<Found>): readonly Unresolved[] {
  const { archive: first } = supplied(group);
  return group.flatMap(({ reference, archive, origins: [origin] }) =>
    archive === undefined || archive === first || !origin
      ? []
      : [{ text: reference, reason: `in ${archive} and in ${first}`, origin }],
  );
}

function joined<T extends { readonly origins: readonly Origin[] }>(one: T, group: readonly T[]): T {
  if (group.length === 1) return one;
  const origins = new Map<string, Origin>();
  for (const entry of group) {
    for (const origin of entry.origins) origins.set(JSON.stringify(origin), origin);
  }
  return { ...one, origins: [...origins.values()] };
}
