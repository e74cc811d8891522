import { jsonOf, type OciError } from '@cluster-image/oci';
import type { z } from 'zod';

/** An error about a line of a text, counted from 1; about all of it without one. */
export type Fault = (line: number | undefined, why: string, cause?: unknown) => OciError;

/**
 * Reads a JSON text that people edit and merge: what is wrong is told with its line, and a key that
 * is there twice, of which JSON would silently keep one, is wrong.
 */
export function readJson<T>(text: string, schema: z.ZodType<T>, fault: Fault): T {
  const conflict = text.split('\n').findIndex((line) => /^(?:<{7}|={7}|>{7})(?:\s|$)/.test(line));
  if (conflict >= 0) throw fault(conflict + 1, 'has conflict markers');
  const found = scan(text, () => {});
  if (found) throw fault(found.line, found.why);
  const value = jsonOf(text);
  if (value === undefined) throw fault(undefined, 'is not JSON');
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = (issue?.path ?? []).map(String);
  const [unknown] = issue?.code === 'unrecognized_keys' ? issue.keys : [];
  const whole = unknown === undefined ? path : [...path, unknown];
  const [key] = issue?.code === 'invalid_key' ? issue.issues : [];
  const said = key?.message ?? issue?.message ?? 'is invalid';
  const why = unknown === undefined ? said : 'nothing of that name is known';
  throw fault(lineOf(text, whole), [whole.join('.'), why].filter(Boolean).join(': '), parsed.error);
}

/** The line where the entry at a path begins, or the nearest entry that it would be in. */
export function lineOf(text: string, path: readonly string[]): number | undefined {
  let nearest: { line: number; depth: number } | undefined;
  scan(text, (at, line) => {
    const isOnTheWay = at.length <= path.length && at.every((key, depth) => key === path[depth]);
    if (isOnTheWay && at.length > (nearest?.depth ?? 0)) nearest = { line, depth: at.length };
  });
  return nearest?.line;
}

/** Deeper than any text of ours. */
const depthLimit = 100;

const tokens =
  /[ \t\r\n]*(?:([{}[\],:])|("(?:[^"\\\r\n]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;

interface Token {
  /** A bracket, a comma or a colon; `string` or `other`. */
  readonly kind: string;
  readonly text: string;
}

/**
 * Goes through a JSON text and tells the first thing that is wrong with it.
 *
 * @param visit is told of every entry, by its path and line
 */
function scan(
  text: string,
  visit: (path: readonly string[], line: number) => void,
): { readonly line: number; readonly why: string } | undefined {
  const reader = new RegExp(tokens);
  let line = 1;
  let counted = 0;

  function next(): Token {
    const start = reader.lastIndex;
    const match = reader.exec(text);
    if (!match) {
      const rest = text.slice(start).trimStart();
      line += text.slice(counted, text.length - rest.length).split('\n').length - 1;
      throw new Wrong(
        rest === '' ? 'ends too early' : `is not JSON at ${JSON.stringify(rest.slice(0, 20))}`,
      );
    }
    line += text.slice(counted, reader.lastIndex).split('\n').length - 1;
    counted = reader.lastIndex;
    const [whole, sign, string] = match;
    return { kind: sign ?? (string ? 'string' : 'other'), text: string ?? whole.trim() };
  }

  function unexpected({ text: found }: Token): Wrong {
    return new Wrong(`is not JSON at ${found}`);
  }

  function value({ kind, text: found }: Token, path: readonly string[]): void {
    if (path.length > depthLimit) throw new Wrong(`is nested deeper than ${depthLimit}`);
    if (kind === '{') entries(path);
    else if (kind === '[') items(path);
    else if (kind !== 'string' && kind !== 'other') throw unexpected({ kind, text: found });
  }

  function entries(path: readonly string[]): void {
    const seen = new Set<string>();
    for (let token = next(); token.kind !== '}' || seen.size > 0; token = next()) {
      if (token.kind !== 'string') throw unexpected(token);
      const key = String(jsonOf(token.text));
      if (seen.has(key)) throw new Wrong(`names ${key} twice`);
      seen.add(key);
      visit([...path, key], line);
      const colon = next();
      if (colon.kind !== ':') throw unexpected(colon);
      value(next(), [...path, key]);
      const end = next();
      if (end.kind === '}') return;
      if (end.kind !== ',') throw unexpected(end);
    }
  }

  function items(path: readonly string[]): void {
    let count = 0;
    for (let token = next(); token.kind !== ']' || count > 0; token = next()) {
      visit([...path, String(count)], line);
      value(token, [...path, String(count)]);
      count += 1;
      const end = next();
      if (end.kind === ']') return;
      if (end.kind !== ',') throw unexpected(end);
    }
  }

  try {
    value(next(), []);
    if (text.slice(reader.lastIndex).trim() === '') return undefined;
    throw unexpected(next());
  } catch (error) {
    if (error instanceof Wrong) return { line, why: error.message };
    throw error;
  }
}

/** How the scan ends where something is wrong; it goes no further than this file. */
class Wrong extends Error {}
