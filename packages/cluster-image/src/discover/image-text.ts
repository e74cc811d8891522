import { formatReference, parseReference } from '@cluster-image/oci';

/** Whether a text still has to be filled in by some template language. */
export function isTemplate(text: string): boolean {
  return /\{\{|\$\{|\$\(|###|<[A-Za-z_]+>/.test(text);
}

/** A text that looks like an image, and where in a longer one it is. */
export interface ImageLike {
  /** The reference, or as it is written where it is none yet. */
  readonly text: string;
  readonly reason: string;
  /** Counted from 0. */
  readonly line: number;
}

/** Longer texts are read up to here, in characters. */
const textLimit = 1024 * 1024;

/** The longest reference there is, in characters. */
const referenceLimit = 500;

/** A line of a manifest inside a text, and the same in JSON. */
const yamlEntry = /^\s*(?:-\s+)?["']?image["']?\s*:\s*(["']?)([^\s"'#]+|\{\{.*\}\})\1\s*(?:#.*)?$/;
const jsonEntry = /"image"\s*:\s*"([^"\\]+)"/g;

/** What can stand between references in a text. */
const separators = /[\s"'`,;()[\]{}<>|]+/;

/**
 * What looks like an image in a text where no image is proven to be meant: arguments, environment
 * variables, annotations, files inside ConfigMaps.
 *
 * @param key the name of the mapping entry or environment variable that holds the text
 */
export function imageLike(text: string, key: string): readonly ImageLike[] {
  // Whatever is said of an image has one of these in it.
  if (!/[:@]/.test(text)) return [];
  return text
    .slice(0, textLimit)
    .split('\n')
    .flatMap((line, at) => inLine(line, key).map((found) => ({ ...found, line: at })));
}

function inLine(line: string, key: string): readonly Omit<ImageLike, 'line'>[] {
  const entries = [
    ...[yamlEntry.exec(line)?.[2]].filter((entry) => entry !== undefined),
    ...[...line.matchAll(jsonEntry)].map(([, entry = '']) => entry),
  ].flatMap((entry) => embedded(entry));
  if (entries.length > 0) return entries.map((text) => ({ text, reason: 'in a text' }));
  const reason = `in ${key || 'a list'}`;
  return line.split(separators).flatMap((token) => {
    const text = plausible(token, key);
    return text === undefined ? [] : [{ text, reason }];
  });
}

/** What `image:` names inside a text, where hardly anything else is meant. */
function embedded(entry: string): readonly string[] {
  if (isTemplate(entry)) return [entry];
  const reference = referenceOf(entry);
  return reference === undefined || /^(?:true|false|null|~)$/.test(entry) ? [] : [reference];
}

/**
 * A word that says which image and from where; less than that is most often something else, unless
 * its key or flag speaks of an image.
 */
function plausible(token: string, key: string): string | undefined {
  if (token.length > referenceLimit || !/[:@]/.test(token)) return undefined;
  const [, flag, value] = /^(?:--?)?([\w.-]+)=(.*)$/.exec(token) ?? ['', key, token];
  const word = value?.replace(/^docker:\/\//, '').replace(/[.:]$/, '') ?? '';
  const isVersioned = /:\w[\w.-]*$|@sha\d+:[0-9a-f]+$/.test(word);
  if (!isVersioned || word.includes('//') || isTemplate(word) || isTaint(word)) return undefined;
  const hasHost = /^(?:localhost|[^/]*[.:][^/]*)\//.test(word);
  const isExpected = /image/i.test(flag ?? '');
  return hasHost || isExpected ? referenceOf(word) : undefined;
}

/** `node.example/key:NoExecute` is nothing to pull. */
function isTaint(word: string): boolean {
  return /:(?:NoSchedule|PreferNoSchedule|NoExecute)$/.test(word);
}

function referenceOf(text: string): string | undefined {
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined;
  }
}
