import type { YamlEntry, YamlNode, YamlScalar } from './yaml-nodes.ts';

/** Whatever is neither printable nor a break, and what is rare in manifests. */
const strange = /[^\n -~\u00a1-\ud7ff]/;

/** Deeper than manifests are; the library says what is too deep. */
const depthLimit = 50;

/** More between brackets than people write on a line, in characters. */
const flowLimit = 10_000;

/** More in quotes than people write, in characters; programs may. */
const quotedLimit = 200_000;

const item = /^-(?: +|$)/;
const key = /^(?:([A-Za-z_][\w./-]{0,200})|"([\w./-]{1,200})"):(?: +|$)/;
/** With no escapes but those of JSON, which mean the same. */
const doubleQuoted = /^"[^"\\]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*)*"$/;
const singleQuoted = /^'[^']*(?:''[^']*)*'$/;
/** Whatever else a text begins with may mean something. */
const plainStart = /^(?:[\w/.(<+$~^;=\\\u00a1-\ud7ff]|-[^ ])/;
const literalStart = /^\|-?$/;
const empty = /^(?:\{ *\}|\[ *\])$/;
const boolean = /^(?:[Tt]rue|TRUE|[Ff]alse|FALSE)$/;
const nothing = /^(?:~|[Nn]ull|NULL)$/;

/** Single words, in quotes or not. */
const word = `"([^"\\\\]*)"|'([^']*)'|([\\w/.](?:[\\w/.+=@-]|:(?=[\\w/]))*)`;
const flowItem = new RegExp(` *(?:${word}) *([,\\]])`, 'y');
const flowEntry = new RegExp(` *([A-Za-z_][\\w./-]{0,200}): +(?:${word}) *([,}])`, 'y');

interface Line {
  /** Counted from 0. */
  readonly at: number;
  readonly indent: number;
  readonly text: string;
}

/**
 * Reads a document that is written as most manifests are: mappings and sequences in block style,
 * texts on one line, without quotes on several, or literal, words in brackets. Tells the same of them as the library, in a
 * tenth of its time; undefined for everything else, be it YAML or not. Nodes are at lines, counted
 * from 0.
 */
export function plainNodes(text: string): YamlNode | undefined {
  if (strange.test(text)) return undefined;
  const lines = text.split('\n');
  let line = lineFrom(0);
  if (line?.text === '---' && line.indent === 0) advance();
  if (line?.indent !== 0) return undefined;
  const root = block(0);
  return line ? undefined : root;

  /** The next line that is neither empty nor a comment. */
  function lineFrom(start: number): Line | undefined {
    for (let at = start; at < lines.length; at++) {
      const whole = lines[at] ?? '';
      const indent = indentOf(whole);
      if (indent < whole.length && whole[indent] !== '#') {
        return { at, indent, text: trimmed(whole.slice(indent)) };
      }
    }
    return undefined;
  }

  function advance(): void {
    line = line && lineFrom(line.at + 1);
  }

  function block(depth: number): YamlNode | undefined {
    if (!line || depth > depthLimit) return undefined;
    if (item.test(line.text)) return sequence(line, depth);
    return empty.test(line.text) ? nothingIn(line) : mapping(line, depth);
  }

  /** Empty brackets below their key. */
  function nothingIn({ at, indent, text }: Line): YamlNode | undefined {
    advance();
    return line && line.indent >= indent ? undefined : flow(text, at);
  }

  function sequence({ at, indent }: Line, depth: number): YamlNode | undefined {
    const items: YamlNode[] = [];
    while (line?.indent === indent) {
      const [dash] = item.exec(line.text) ?? [];
      if (dash === undefined) break;
      const rest = line.text.slice(dash.length);
      const isBlock = item.test(rest) || key.test(rest);
      // What is behind the dash is as good as on a line of its own.
      if (isBlock) line = { at: line.at, indent: indent + dash.length, text: rest };
      const found = isBlock ? block(depth + 1) : value(rest, line, depth);
      if (!found) return undefined;
      items.push(found);
    }
    return { kind: 'seq', at, items };
  }

  function mapping({ at, indent }: Line, depth: number): YamlNode | undefined {
    const entries: YamlEntry[] = [];
    while (line?.indent === indent) {
      const [head, bare = '', name = bare] = key.exec(line.text) ?? [];
      if (head === undefined || isNoText(bare)) return undefined;
      const found = value(line.text.slice(head.length), line, depth, true);
      if (!found) return undefined;
      entries.push({ key: name, value: found });
    }
    return { kind: 'map', at, entries };
  }

  /** @param mayBeLevel whether a sequence may begin right below, as that of a mapping entry may */
  function value(
    rest: string,
    { at, indent }: Line,
    depth: number,
    mayBeLevel = false,
  ): YamlNode | undefined {
    if (literalStart.test(rest)) return literal(at, indent, rest === '|' ? '\n' : '');
    const isEmpty = rest === '' || rest.startsWith('#');
    const found = isEmpty ? scalar('', at, 'other') : inline(rest, at);
    advance();
    if (!line || line.indent < indent) return found;
    if (line.indent > indent) return isEmpty ? block(depth + 1) : continued(rest, at, indent);
    return isEmpty && mayBeLevel && item.test(line.text) ? sequence(line, depth + 1) : found;
  }

  /** A text that goes on, further in than what it belongs to. */
  function continued(first: string, at: number, indent: number): YamlNode | undefined {
    const isQuoted = first.startsWith("'");
    if (!isQuoted && !plainStart.test(first)) return undefined;
    let [text, end, isOpen] = [first, at + 1, true];
    for (let breaks = 0; isOpen && end < lines.length; end++) {
      const whole = lines[end] ?? '';
      const part = trimmed(whole.trimStart());
      if (part === '') {
        breaks += 1;
        continue;
      }
      if (indentOf(whole) <= indent) break;
      if (!isQuoted && part.startsWith('#')) return undefined;
      text += (breaks === 0 ? ' ' : '\n'.repeat(breaks)) + part;
      breaks = 0;
      // Quotes that are part of the text come in pairs.
      isOpen = !isQuoted || part.split("'").length % 2 === 1;
    }
    line = lineFrom(end);
    if (line && line.indent > indent) return undefined;
    if (!isQuoted) return / #|:(?: |\n|$)/.test(text) ? undefined : scalar(text, at, 'text');
    const inner = quoted(text);
    return inner === undefined ? undefined : scalar(inner, at, 'text');
  }

  function literal(at: number, indent: number, ending: string): YamlNode | undefined {
    let [end, last] = [at + 1, at];
    let [inner, blank] = [0, 0];
    for (; end < lines.length; end++) {
      const whole = lines[end] ?? '';
      const own = indentOf(whole);
      const isBlank = own === whole.length;
      if (isBlank) blank = Math.max(blank, inner === 0 ? own : 0);
      // Spaces beyond the others' are part of the text.
      if (isBlank && (inner === 0 || own <= inner)) continue;
      if (!isBlank && own <= indent) break;
      inner ||= own;
      if (own < inner || blank > inner) return undefined;
      last = end;
    }
    if (inner === 0) return undefined;
    const text = lines.slice(at + 1, last + 1).map((each) => each.slice(inner));
    line = lineFrom(end);
    return scalar(text.join('\n') + ending, at, 'literal');
  }
}

function indentOf(text: string): number {
  let at = 0;
  while (text[at] === ' ') at += 1;
  return at;
}

/** Without the spaces at its end. */
function trimmed(text: string): string {
  let end = text.length;
  while (text[end - 1] === ' ') end -= 1;
  return text.slice(0, end);
}

/** A value that is all on the line of its key or dash; undefined where it is not plain. */
function inline(text: string, at: number): YamlNode | undefined {
  const bare = withoutComment(text);
  if (/^[[{]/.test(bare)) return flow(bare, at);
  const inner = quoted(bare);
  if (inner !== undefined) return scalar(inner, at, 'text');
  return plainStart.test(bare) && !/:(?: |$)/.test(bare) ? plain(bare, at) : undefined;
}

function quoted(text: string): string | undefined {
  if (text.length > quotedLimit) return undefined;
  if (doubleQuoted.test(text)) {
    return text.includes('\\') ? String(JSON.parse(text)) : text.slice(1, -1);
  }
  return singleQuoted.test(text) ? text.slice(1, -1).replaceAll("''", "'") : undefined;
}

function withoutComment(text: string): string {
  const comment = text.indexOf(' #');
  return comment < 0 ? text : trimmed(text.slice(0, comment));
}

function flow(text: string, at: number): YamlNode | undefined {
  if (text.length > flowLimit) return undefined;
  return text.startsWith('[') ? flowSeq(text, at) : flowMap(text, at);
}

function flowSeq(text: string, at: number): YamlNode | undefined {
  const items: YamlNode[] = [];
  const seq: YamlNode = { kind: 'seq', at, items };
  if (/^\[ *\]$/.test(text)) return seq;
  const words = new RegExp(flowItem);
  words.lastIndex = 1;
  for (let match = words.exec(text); match; match = words.exec(text)) {
    const [, double, single, bare = '', end] = match;
    items.push(wordOf(double ?? single, bare, at));
    if (end === ']') return words.lastIndex === text.length ? seq : undefined;
  }
  return undefined;
}

function flowMap(text: string, at: number): YamlNode | undefined {
  const entries: YamlEntry[] = [];
  const map: YamlNode = { kind: 'map', at, entries };
  if (/^\{ *\}$/.test(text)) return map;
  const words = new RegExp(flowEntry);
  words.lastIndex = 1;
  for (let match = words.exec(text); match; match = words.exec(text)) {
    const [, name = '', double, single, bare = '', end] = match;
    if (isNoText(name)) return undefined;
    entries.push({ key: name, value: wordOf(double ?? single, bare, at) });
    if (end === '}') return words.lastIndex === text.length ? map : undefined;
  }
  return undefined;
}

function wordOf(quoted: string | undefined, bare: string, at: number): YamlScalar {
  return quoted === undefined ? plain(bare, at) : scalar(quoted, at, 'text');
}

/** Numbers are texts here: none of them says anything of an image. */
function plain(text: string, at: number): YamlScalar {
  if (nothing.test(text)) return scalar('', at, 'other');
  return scalar(text, at, boolean.test(text) ? 'boolean' : 'text');
}

function scalar(text: string, at: number, type: YamlScalar['type']): YamlScalar {
  return { kind: 'scalar', at, text, type };
}

function isNoText(text: string): boolean {
  return boolean.test(text) || nothing.test(text);
}
