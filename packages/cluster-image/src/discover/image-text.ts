import { wholeReference } from '@cluster-image/oci';

/** Whether a text still has to be filled in by some template language. */
export function isTemplate(text: string): boolean {
  return /\{[{%]|\$\{|\$\(|###|<[A-Za-z_]+>/.test(text);
}

/**
 * Whether a text is an expression of a workflow, pipeline or policy, which nobody but the cluster can
 * fill in: `$(params.image)` of Tekton, `{{inputs.parameters.image}}` of Argo, `{{request.object}}` of
 * Kyverno.
 */
export function isFilledInLater(text: string): boolean {
  return /\$\((?:params|inputs|context|tasks|workspaces|resources)[.[]|\{\{-? *=? *(?:inputs|outputs|workflow|item|steps|tasks|pod|request|element|images)\b/.test(
    text,
  );
}

/** Whether the name of an entry, variable or flag is that of an image: `sidecarImage`, `WEB_IMAGE`. */
export function isImageName(name: string): boolean {
  return /image(?:s|[-_]?(?:name|ref|reference|url|uri))?$/i.test(name);
}

/** Whether a name speaks of images, and not of where they are or how they are treated. */
function isAboutImages(name: string): boolean {
  return /image/i.test(name) && !/registr|repo|host|server|mirror|polic|secret|digest/i.test(name);
}

/** Whether a text may be a document with images in it: it has lines or brackets, and an entry that names some. */
export function mayEmbed(text: string): boolean {
  return /^\s*[[{]|\n/.test(text) && /(?:image|repository)[\w-]*\\?["']?\s*:/i.test(text);
}

/** A text that looks like an image, and where in a longer one it is. */
export interface ImageLike {
  /** The reference, or as it is written where it is none yet. */
  readonly text: string;
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
 * @param path the names of the entries that the text is in, the last being its own
 * @param before the text before it in a sequence, such as the flag that it is the value of
 */
export function imageLike(
  text: string,
  path: readonly string[],
  before = '',
): readonly ImageLike[] {
  // Whatever is said of an image has one of these in it.
  if (!/[:@/{$#<]/.test(text)) return [];
  const name = flagOf(before) ?? path.slice(-2).join('.');
  const whole = template(text, name);
  if (whole !== undefined) return [{ text: whole, line: 0 }];
  return text
    .slice(0, textLimit)
    .split('\n')
    .flatMap((line, at) => inLine(line, name).map((found) => ({ text: found, line: at })));
}

/** A value that is all of a template, of what is named as an image. */
function template(text: string, name: string): string | undefined {
  if (text.length > referenceLimit || text.includes('\n')) return undefined;
  // What goes from one step of a pipeline to the next is named where it begins.
  if (!isTemplate(text) || isFilledInLater(text)) return undefined;
  const [, flag = name, value = ''] = /^(?:--?([\w.-]+)=)?(.*)$/.exec(text.trim()) ?? [];
  const isValue = !/\s/.test(value.replace(/\{\{.*?\}\}/g, ''));
  // The kubelet puts a variable in, which is looked at itself.
  const isVariable = /^\$\(\w+\)$/.test(value);
  return isImageName(flag) && isValue && !isVariable ? value : undefined;
}

function inLine(line: string, name: string): readonly string[] {
  const entries = [
    ...[yamlEntry.exec(line)?.[2]].filter((entry) => entry !== undefined),
    ...[...line.matchAll(jsonEntry)].map(([, entry = '']) => entry),
  ].flatMap(named);
  if (entries.length > 0) return entries;
  const words = line.split(separators);
  return words.flatMap((word, at) => plausible(word, flagOf(words[at - 1]) ?? name) ?? []);
}

/** The name of a flag whose value is the word after it. */
function flagOf(word = ''): string | undefined {
  return /^--?([\w.-]+)$/.exec(word)?.[1];
}

/** What `image:` names inside a text, where hardly anything else is meant. */
function named(entry: string): readonly string[] {
  if (isTemplate(entry)) return [entry];
  const reference = wholeReference(entry);
  // A word with dots is code, or a file.
  const isOther = /^(?:true|false|null|~|[^/:@]*\.[^/:@]*)$/.test(entry);
  return reference === undefined || isOther ? [] : [reference];
}

/**
 * A word that says which image and from where; less than that is most often something else, unless
 * its name speaks of an image, or it says to be fetched as one.
 */
function plausible(word: string, name: string): string | undefined {
  if (word.length > referenceLimit || !/[:@/]/.test(word)) return undefined;
  const [, flag = name, value = word] = /^(?:--?)?([\w.-]+)=(.*)$/.exec(word) ?? [];
  const [scheme = ''] = /^(?:oci|docker):\/\//.exec(value) ?? [];
  const text = value.slice(scheme.length).replace(/[.:]$/, '');
  if (text.includes('//') || isTemplate(text) || isNoImage(text)) return undefined;
  const isVersioned = /:\w[\w.-]*$|@sha\d+:[0-9a-f]+$/.test(text);
  const hasHost = /^(?:localhost|[^/]*[.:][^/]*)\//.test(text);
  const isLikely = isVersioned
    ? hasHost || scheme !== '' || isAboutImages(flag)
    : hasHost && (scheme !== '' || isImageName(flag));
  return isLikely ? wholeReference(text) : undefined;
}

/** A taint such as `node.example/key:NoExecute`, or a digest alone. */
function isNoImage(word: string): boolean {
  return /:(?:NoSchedule|PreferNoSchedule|NoExecute)$|^sha\d+:/.test(word);
}
