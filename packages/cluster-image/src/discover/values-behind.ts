import { nameOf, type Reference, referenceFrom, wholeReference } from '@cluster-image/oci';
import type { PlacedScalar, ValueScalar } from './values.ts';

/** What a text of a rendered chart may be put together from. */
export interface ValuesOfTemplate {
  readonly all: readonly PlacedScalar[];
  /** Whether the template names a value, or a mapping that it is in. */
  isMentioned(value: PlacedScalar): boolean;
  /** What the chart says of itself, which templates take where no tag is set. */
  readonly appVersion?: ValueScalar;
}

/**
 * The values that an image is put together from, as far as that can be told: what is the whole of it,
 * else what names its repository, with the version beside. Several of either are all told, unless some
 * of them are mentioned by the template.
 *
 * @param text a whole reference, or what cannot be resolved
 */
export function valuesBehind(text: string, values: ValuesOfTemplate): readonly ValueScalar[] {
  const { all, isMentioned } = values;
  const reference = referenceFrom(text);
  const wholes = all.filter(({ scalar }) => scalar.text !== '' && isWhole(scalar.text, text));
  if (!reference || wholes.length > 0) {
    return mentionedFirst(wholes, isMentioned).map(({ scalar }) => scalar);
  }
  const neighbours = Map.groupBy(all, parentOf);
  const named = all.flatMap((value) => {
    const beside = neighbours.get(parentOf(value)) ?? [];
    const name = nameIn(value, beside, reference);
    const version = versionIn(beside, reference);
    const isName = name.length > 1 || version.length > 0 || isNameAlone(value);
    return name.length > 0 && isName ? [{ value, name, version }] : [];
  });
  const likely = mentionedFirst(named, ({ value }) => isMentioned(value));
  const complete = likely.filter(({ version }) => version.length > 0);
  if (complete.length > 0) return complete.flatMap(({ name, version }) => [...name, ...version]);
  const names = likely.flatMap(({ name }) => name);
  return names.length > 0 ? [...names, ...versionElsewhere(values, reference)] : [];
}

function mentionedFirst<T>(some: readonly T[], isMentioned: (one: T) => boolean): readonly T[] {
  const mentioned = some.filter(isMentioned);
  return mentioned.length > 0 ? mentioned : some;
}

/** A word alone names no image for sure, although it could be read as one. */
function isWhole(value: string, text: string): boolean {
  return value === text || (/[/:@]/.test(value) && wholeReference(value) === text);
}

function parentOf({ path }: PlacedScalar): string {
  return JSON.stringify(path.slice(0, -1));
}

/** The values that a repository's name is made of, one of them being this; none where it is not. */
function nameIn(
  { scalar }: PlacedScalar,
  beside: readonly PlacedScalar[],
  reference: Reference,
): readonly ValueScalar[] {
  const text = trimmed(scalar.text);
  if (text === '') return [];
  const besideIt = (wanted: string): ValueScalar | undefined =>
    beside.find((other) => other.scalar !== scalar && trimmed(other.scalar.text) === wanted)
      ?.scalar;
  for (const form of formsOf(reference)) {
    if (text === form) return [besideIt(reference.host) ?? [], scalar].flat();
    const before = form.endsWith(`/${text}`) && besideIt(form.slice(0, -text.length - 1));
    if (before) return [before, scalar];
  }
  return [];
}

/** A word may name anything, unless its key says what. */
function isNameAlone({ path, scalar }: PlacedScalar): boolean {
  return scalar.text.includes('/') || /image|repo/i.test(path.at(-1) ?? '');
}

function trimmed(text: string): string {
  return text.replace(/^\/+|\/+$/g, '');
}

/** How people write the name of a repository. */
function formsOf({ host, repository }: Reference): readonly string[] {
  const forms = [nameOf({ host, repository }), repository];
  if (host !== 'docker.io') return forms;
  const short = repository.replace(/^library\//, '');
  return [...forms, short, `docker.io/${short}`, `index.docker.io/${repository}`];
}

function versionIn(
  beside: readonly PlacedScalar[],
  { tag, digest }: Reference,
): readonly ValueScalar[] {
  return beside.flatMap(({ scalar }) => {
    const isDigest = digest === scalar.text || digest === `sha256:${scalar.text}`;
    return scalar.text !== '' && (scalar.text === tag || isDigest) ? [scalar] : [];
  });
}

/** A version that is not beside the name: a value for several images, or the chart's own. */
function versionElsewhere(
  { all, isMentioned, appVersion }: ValuesOfTemplate,
  { tag }: Reference,
): readonly ValueScalar[] {
  // Templates put v before it, and the name of a variant behind.
  const isTag = ({ text }: ValueScalar): boolean =>
    text !== '' && [text, `v${text}`].some((one) => tag === one || tag?.startsWith(`${one}-`));
  const shared = all.filter(
    ({ path, scalar }) => isTag(scalar) && /tag|version/i.test(path.at(-1) ?? ''),
  );
  if (shared.length > 0) return mentionedFirst(shared, isMentioned).map(({ scalar }) => scalar);
  return appVersion && isTag(appVersion) ? [appVersion] : [];
}
