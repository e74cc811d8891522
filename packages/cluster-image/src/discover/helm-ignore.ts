import { Minimatch } from 'minimatch';

/** Whether a path in a chart is no part of it. What is in such a directory is none either. */
export type Ignores = (path: string, isDirectory: boolean) => boolean;

const patternOptions = {
  dot: true,
  nobrace: true,
  nocomment: true,
  noext: true,
  noglobstar: true,
  nonegate: true,
} as const;

/**
 * The rules of a `.helmignore`, and those that helm has itself.
 * https://helm.sh/docs/chart_template_guide/helm_ignore_file/
 */
export function helmIgnore(text: string): Ignores {
  const rules = ['templates/.?*', ...text.split('\n')]
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(ruleOf);
  return (path, isDirectory) =>
    rules.some(({ isNegated, isForDirectories, matches }) => {
      if (isForDirectories && !isDirectory) return isNegated;
      // With helm, a negated rule ignores all that does not match.
      return matches(path) !== isNegated;
    });
}

function ruleOf(line: string) {
  const isNegated = line.startsWith('!');
  const rule = isNegated ? line.slice(1) : line;
  const isForDirectories = rule.endsWith('/');
  const glob = isForDirectories ? rule.slice(0, -1) : rule;
  const pattern = new Minimatch(glob.replace(/^\//, ''), patternOptions);
  const isOfPath = glob.includes('/');
  const matches = (path: string): boolean =>
    pattern.match(isOfPath ? path : (path.split('/').at(-1) ?? ''));
  return { isNegated, isForDirectories, matches };
}
