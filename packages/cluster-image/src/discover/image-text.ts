import { formatReference, parseReference } from '@cluster-image/oci';

/** Whether a text still has to be filled in by some template language. */
export function isTemplate(text: string): boolean {
  return /\{\{|\$\{|\$\(|###|<[A-Za-z_]+>/.test(text);
}

/** Texts longer than this are read line by line only up to here, in characters. */
const textLimit = 1024 * 1024;

const embedded = /^\s*-?\s*"?image"?\s*:\s*"?([^\s"',#]+)/;
const word = /^(?:--?[\w.-]+=)?([a-z0-9][\w.:/@-]*)$/i;

/**
 * What looks like an image in a text where no image is proven to be meant: arguments, environment
 * variables, files inside ConfigMaps.
 *
 * @param key the name of the mapping entry that holds the text
 */
export function imageLike(
  text: string,
  key: string,
): readonly { readonly reference: string; readonly reason: string }[] {
  const found: { reference: string; reason: string }[] = [];
  const isText = text.includes('\n');
  for (const line of text.slice(0, textLimit).split('\n')) {
    const inner = isText ? embedded.exec(line)?.[1] : undefined;
    const candidate = inner ?? word.exec(line.trim())?.[1];
    if (candidate === undefined || candidate.length > 300) continue;
    const reference = plausible(candidate, inner !== undefined || /image/i.test(key));
    if (reference === undefined) continue;
    const reason = inner !== undefined ? 'in a text' : `in ${key || 'a list'}`;
    found.push({ reference, reason });
  }
  return found;
}

/** A reference that says where it is from and which one it is; less than that is most often something else. */
function plausible(text: string, isExpected: boolean): string | undefined {
  if (!/[:@]/.test(text) || text.includes('//') || isTemplate(text)) return undefined;
  try {
    const reference = parseReference(text);
    const isVersioned = reference.digest !== undefined || /:[\w][\w.-]*$/.test(text);
    const hasHost = reference.host !== 'docker.io' || text.startsWith('docker.io/');
    const hasPath = text.includes('/');
    if (!isVersioned || !hasPath || !(hasHost || isExpected)) return undefined;
    return formatReference(reference);
  } catch {
    return undefined;
  }
}
