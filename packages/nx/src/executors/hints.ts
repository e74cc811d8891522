import type { ExecutorContext } from '@nx/devkit';
import { OciError } from 'cluster-image';

/** The next steps after a failure: that of the command, and what Nx has for it. */
export function hintsOf(error: unknown, context: ExecutorContext): readonly string[] {
  if (!(error instanceof OciError)) return [];
  const { code, hint } = error;
  return [
    ...(hint === undefined ? [] : [hint]),
    ...(code === 'LOCK_DRIFT' ? [lockingHint(context)] : []),
  ];
}

function lockingHint({ projectName = '', projectsConfigurations }: ExecutorContext): string {
  const { targets = {} } = projectsConfigurations.projects[projectName] ?? {};
  const lock = Object.keys(targets).find(
    (name) => targets[name]?.executor === '@cluster-image/nx:lock-images',
  );
  const alone = lock === undefined ? '' : `, or \`nx run ${projectName}:${lock}\` for this project`;
  return `With Nx: \`nx sync\`${alone}.`;
}
