import { jsonOf, type OciError } from '@cluster-image/oci';
import { z } from 'zod';

/** The value of a variable; undefined where it is not set. */
export type Lookup = (name: string) => string | undefined;

/** What the words of an instruction are read with. */
export interface Scope {
  readonly lookup: Lookup;
  /** What takes the meaning from the character after it, and ends a line that goes on. */
  readonly escapeSign: string;
  /** An error about the instruction, INPUT_INVALID unless told otherwise. */
  fault(why: string, hint?: string, code?: 'UNSUPPORTED'): OciError;
}

const jsonForm = z.array(z.string());

/** The elements of `["a", "b"]`; undefined where a text is not in that form. */
export function jsonWords(text: string): readonly string[] | undefined {
  return text.startsWith('[') ? jsonForm.safeParse(jsonOf(text)).data : undefined;
}

/** Arguments in either form: `a "b c"` or `["a", "b c"]`, variables filled in. */
export function wordsOf(text: string, scope: Scope): readonly string[] {
  const json = jsonWords(text);
  if (json) return json.map((word) => read(word, scope, plain));
  return splitWords(text, scope.escapeSign).map((word) => expand(word, scope));
}

/** Cuts at white space outside of quotes; the quotes stay. */
export function splitWords(text: string, escapeSign: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === escapeSign && quote !== "'") {
      word += char + (text[at + 1] ?? '');
      at += 1;
    } else if (quote === '' && /\s/.test(char)) {
      if (word !== '') words.push(word);
      word = '';
    } else {
      if (char === quote) quote = '';
      else if (quote === '' && (char === '"' || char === "'")) quote = char;
      word += char;
    }
  }
  return word === '' ? words : [...words, word];
}

/** Which signs mean something outside of quotes. */
interface Signs {
  readonly quotes: boolean;
  /** Whether an escape before that character is one. */
  escapes(next: string, escapeSign: string): boolean;
}

const shell: Signs = { quotes: true, escapes: () => true };
const plain: Signs = { quotes: false, escapes: () => false };
const inPlace: Signs = {
  quotes: false,
  escapes: (next, escapeSign) => next === '$' || next === escapeSign,
};

/**
 * Fills in variables and removes quotes, as docker does: nothing is filled in between single quotes
 * or after an escape; `${name:-word}` and `${name:+word}` are known, a variable that is not set is
 * empty. https://docs.docker.com/reference/dockerfile/#environment-replacement
 */
export function expand(text: string, scope: Scope): string {
  return read(text, scope, shell);
}

/** Fills in the variables of a file that is written in place, in which quotes are quotes. */
export function expandText(text: string, scope: Scope): string {
  return read(text, scope, inPlace);
}

function read(text: string, { lookup, escapeSign, fault }: Scope, signs: Signs): string {
  let at = 0;
  return until('');

  /** Reads up to a character and over it, or to the end. */
  function until(stop: string): string {
    let out = '';
    while (at < text.length && text[at] !== stop) out += piece();
    if (stop !== '' && at >= text.length) throw fault(`there is no ${stop} in ${text}`);
    at += 1;
    return out;
  }

  function piece(): string {
    const char = text[at] ?? '';
    at += 1;
    if (char === '$') return variable();
    if (char === escapeSign) return escaped((next) => signs.escapes(next, escapeSign));
    if (signs.quotes && char === "'") return single();
    if (signs.quotes && char === '"') return double();
    return char;
  }

  function single(): string {
    const end = text.indexOf("'", at);
    if (end < 0) throw fault(`there is no second ' in ${text}`);
    const inner = text.slice(at, end);
    at = end + 1;
    return inner;
  }

  function double(): string {
    let out = '';
    for (;;) {
      const char = text[at];
      if (char === undefined) throw fault(`there is no second " in ${text}`);
      at += 1;
      if (char === '"') return out;
      if (char === '$') out += variable();
      else if (char === escapeSign) out += escaped((next) => ['"', '$', escapeSign].includes(next));
      else out += char;
    }
  }

  /** The character after an escape, or the escape itself where it is none. */
  function escaped(isMeant: (next: string) => boolean): string {
    const next = text[at];
    if (next === undefined) return signs.quotes ? '' : escapeSign;
    if (!isMeant(next)) return escapeSign;
    at += 1;
    return next;
  }

  function variable(): string {
    if (text[at] === '{') return braced();
    const [name = ''] = /^(?:[A-Za-z_]\w*|\d+)/.exec(text.slice(at)) ?? [];
    at += name.length;
    return name === '' ? '$' : (lookup(name) ?? '');
  }

  function braced(): string {
    const [head, name = '', operator = ''] = /^\{(\w+)(:?[-+?])?/.exec(text.slice(at)) ?? [];
    if (head === undefined) throw fault(`\${ is not followed by a name in ${text}`);
    at += head.length;
    const value = lookup(name);
    if (operator === '') {
      if (text[at] !== '}') throw fault(`\${${name}${text[at] ?? ''} is not supported in ${text}`);
      at += 1;
      return value ?? '';
    }
    const word = until('}');
    const isSet = value !== undefined && (value !== '' || !operator.startsWith(':'));
    if (operator.endsWith('+')) return isSet ? word : '';
    if (isSet) return value;
    if (operator.endsWith('?')) throw fault(`${name}: ${word || 'is not set'}`);
    return word;
  }
}
