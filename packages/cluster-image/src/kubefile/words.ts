import { jsonOf } from '@cluster-image/oci';
import { z } from 'zod';

/** The value of a variable; undefined where it is not set. */
export type Lookup = (name: string) => string | undefined;

const jsonForm = z.array(z.string());

/** The elements of `["a", "b"]`; undefined where a text is not in that form. */
export function jsonWords(text: string): readonly string[] | undefined {
  return text.startsWith('[') ? jsonForm.safeParse(jsonOf(text)).data : undefined;
}

/** Arguments in either form: `a "b c"` or `["a", "b c"]`, variables filled in. */
export function wordsOf(text: string, lookup: Lookup): readonly string[] {
  const words = jsonWords(text) ?? splitWords(text);
  return words.map((word) =>
    jsonWords(text) ? expand(word, lookup, false) : expand(word, lookup),
  );
}

/** Cuts at white space outside of quotes; the quotes stay. */
function splitWords(text: string): readonly string[] {
  return text.match(/(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'\\]|["'\\])+/g) ?? [];
}

/**
 * Fills in variables and removes quotes, as docker does: nothing is filled in between single quotes
 * or after a backslash; `${name:-word}` and `${name:+word}` are known, a variable that is not set is
 * empty. https://docs.docker.com/reference/dockerfile/#environment-replacement
 *
 * @param quotes whether quotes and backslashes are syntax; they are not within a JSON string
 */
export function expand(text: string, lookup: Lookup, quotes = true): string {
  let out = '';
  let at = 0;
  let inDouble = false;
  while (at < text.length) {
    const char = text[at] ?? '';
    if (quotes && char === "'" && !inDouble) {
      const end = text.indexOf("'", at + 1);
      if (end < 0) return out + text.slice(at);
      out += text.slice(at + 1, end);
      at = end + 1;
    } else if (quotes && char === '"') {
      inDouble = !inDouble;
      at += 1;
    } else if (quotes && char === '\\' && at + 1 < text.length) {
      const next = text[at + 1] ?? '';
      // Between double quotes a backslash only means something before these.
      out += inDouble && !'"$\\'.includes(next) ? char + next : next;
      at += 2;
    } else if (char === '$') {
      const variable =
        /^\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+])((?:[^{}]|\{[^{}]*\})*))?\})/.exec(
          text.slice(at),
        );
      if (variable) {
        out += substitute(variable, lookup);
        at += variable[0].length;
      } else {
        out += char;
        at += 1;
      }
    } else {
      out += char;
      at += 1;
    }
  }
  return out;
}

function substitute(match: RegExpExecArray, lookup: Lookup): string {
  const [, plain, braced, operator, word = ''] = match;
  const value = lookup(plain ?? braced ?? '');
  const isSet = value !== undefined && (value !== '' || !operator?.startsWith(':'));
  if (operator?.endsWith('-')) return isSet ? (value ?? '') : expand(word, lookup);
  if (operator?.endsWith('+')) return isSet ? expand(word, lookup) : '';
  return value ?? '';
}
