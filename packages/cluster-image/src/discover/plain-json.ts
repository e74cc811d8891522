import { jsonOf } from '@cluster-image/oci';
import type { YamlEntry, YamlNode, YamlScalar } from './yaml-nodes.ts';

/** Deeper than manifests are; the library says what is too deep. */
const depthLimit = 50;

/** A sign, the beginning of a string or another scalar, behind spaces and breaks. */
const tokens =
  /[ \t\r\n]*(?:([{}[\],:])|(")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null))/y;

/**
 * Reads a document that is JSON, an entry that is there twice being two. Tells the same of it as the
 * YAML library, in a tenth of its time; undefined for everything else. Nodes are at lines, counted
 * from 0.
 */
export function jsonNodes(text: string): YamlNode | undefined {
  const reader = new RegExp(tokens);
  const [start = ''] = /^(?:---[ \t]*\n)?/.exec(text) ?? [];
  reader.lastIndex = start.length;
  let [line, nextBreak] = [0, text.indexOf('\n')];
  let sign: string | undefined;
  let isString = false;
  let scalar: YamlScalar | undefined;
  const first = advance();
  if (first !== '{' && first !== '[') return undefined;
  const root = value(0);
  return root && text.slice(reader.lastIndex).trim() === '' ? root : undefined;

  /** Goes to the next sign, or the next scalar; to neither where the text is no JSON. */
  function advance(): string | undefined {
    const [, nextSign, quote, bare] = reader.exec(text) ?? [];
    for (; nextBreak >= 0 && nextBreak < reader.lastIndex; nextBreak = breakAfter(nextBreak))
      line += 1;
    sign = nextSign;
    isString = quote !== undefined;
    scalar = quote === undefined ? bareScalar(bare, line) : string();
    return sign;
  }

  function string(): YamlScalar | undefined {
    const start = reader.lastIndex - 1;
    const end = endOfString(text, start);
    reader.lastIndex = end;
    const found = jsonOf(text.slice(start, end));
    return typeof found === 'string'
      ? { kind: 'scalar', at: line, text: found, type: 'text' }
      : undefined;
  }

  function breakAfter(at: number): number {
    return text.indexOf('\n', at + 1);
  }

  /** What begins at the current token; undefined where that is nothing that is read here. */
  function value(depth: number): YamlNode | undefined {
    if (scalar) return scalar;
    if (depth > depthLimit) return undefined;
    if (sign === '[') return sequence(depth);
    return sign === '{' ? mapping(depth) : undefined;
  }

  function sequence(depth: number): YamlNode | undefined {
    const items: YamlNode[] = [];
    const seq: YamlNode = { kind: 'seq', at: line, items };
    advance();
    while (sign !== ']' || items.length > 0) {
      const item = value(depth + 1);
      if (!item) return undefined;
      items.push(item);
      const end = advance();
      if (end === ']') break;
      if (end !== ',') return undefined;
      advance();
    }
    return seq;
  }

  function mapping(depth: number): YamlNode | undefined {
    const entries: YamlEntry[] = [];
    const map: YamlNode = { kind: 'map', at: line, entries };
    advance();
    while (sign !== '}' || entries.length > 0) {
      if (!scalar || !isString) return undefined;
      const key = scalar.text;
      if (advance() !== ':') return undefined;
      advance();
      const found = value(depth + 1);
      if (!found) return undefined;
      entries.push({ key, value: found });
      const end = advance();
      if (end === '}') break;
      if (end !== ',') return undefined;
      advance();
    }
    return map;
  }
}

/** Numbers are texts here, as they are written. */
function bareScalar(text: string | undefined, at: number): YamlScalar | undefined {
  if (text === undefined) return undefined;
  if (text === 'null') return { kind: 'scalar', at, text: '', type: 'other' };
  const isBoolean = text === 'true' || text === 'false';
  return { kind: 'scalar', at, text, type: isBoolean ? 'boolean' : 'text' };
}

/** Behind the quote that ends the string that begins at a place. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text[at - 1 - escapes] === '\\') escapes += 1;
    if (escapes % 2 === 0) return at + 1;
  }
  return text.length;
}
