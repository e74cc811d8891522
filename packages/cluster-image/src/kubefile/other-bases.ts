import { stagesOf } from './bases.ts';
import type { Kubefile } from './kubefile.ts';

/**
 * The text of a build file that builds upon other images; its lines keep their numbers.
 *
 * @param text what the build file was read from
 * @param nameOf what an image is called instead
 */
export function withOtherBases(
  text: string,
  kubefile: Kubefile,
  buildArguments: Readonly<Record<string, string>>,
  nameOf: (reference: string) => string,
): string {
  const lines = text.split('\n');
  for (const { base, from } of stagesOf(kubefile, buildArguments)) {
    if (base.kind !== 'image') continue;
    const [, as] = /\s(AS\s+\S+)$/i.exec(from.text) ?? [];
    lines.fill('', from.line - 1, lastLine(lines, from.line, kubefile.escapeSign));
    const flags = [...from.flags].map(([name, value]) => `--${name}=${value}`);
    const words = ['FROM', ...flags, nameOf(base.reference), ...(as ? [as] : [])];
    lines[from.line - 1] = words.join(' ');
  }
  return lines.join('\n');
}

/** The last line of an instruction; comments and empty lines may lie in it. */
function lastLine(lines: readonly string[], first: number, escapeSign: string): number {
  const line = (at: number): string => (lines[at - 1] ?? '').trim();
  let at = first;
  while (at < lines.length && (/^(?:#|$)/.test(line(at)) || line(at).endsWith(escapeSign))) at++;
  return at;
}
