import type { YAMLParseError } from 'yaml';

/** Farther in than anything. */
const indent = ' '.repeat(200);

/**
 * A text in quotes has to go on farther in than what it belongs to, says YAML; Kubernetes reads it
 * anyhow. Gives such a text its indent, lines keeping their numbers; undefined where no error is about
 * one.
 */
export function withIndent(text: string, errors: readonly YAMLParseError[]): string | undefined {
  for (const { code, message, pos } of errors) {
    const quote = /^Missing closing (["'])quote/.exec(message)?.[1];
    const end = code === 'MISSING_CHAR' && quote ? endOf(text, pos[0], quote) : -1;
    if (end < 0) continue;
    const [before, inside, after] = [
      text.slice(0, pos[0]),
      text.slice(pos[0], end),
      text.slice(end),
    ];
    return `${before}${inside.replaceAll('\n', `\n${indent}`)}${after}`;
  }
  return undefined;
}

/** Where a text in quotes ends that is read from a place; negative where it never does. */
function endOf(text: string, start: number, quote: string): number {
  const parts = quote === '"' ? /\\[\s\S]|"/g : /''|'/g;
  parts.lastIndex = start;
  for (let match = parts.exec(text); match; match = parts.exec(text)) {
    if (match[0] === quote) return match.index;
  }
  return -1;
}
