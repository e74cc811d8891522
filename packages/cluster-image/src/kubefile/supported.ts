import { type Kubefile, kubefileError } from './kubefile.ts';
import { requireLaunchAtEnd, sealerKeywords } from './sealer.ts';

const runHint =
  'Do it before the build and COPY the result; or have a container engine do it: --engine docker, buildx, podman, buildah or sealos.';

/** What would need a container, or means nothing without one, and the way out. */
export const unsupported: ReadonlyMap<string, readonly [why: string, hint: string]> = new Map([
  ['RUN', ['RUN needs a container, and this build runs none', runHint]],
  ['SHELL', ['SHELL is for RUN, and this build runs nothing', 'Remove it.']],
  [
    'HEALTHCHECK',
    [
      'HEALTHCHECK means nothing to a cluster image',
      'Remove it; charts and manifests have probes.',
    ],
  ],
  [
    'ONBUILD',
    ['ONBUILD means nothing to a cluster image', 'Write the instruction where it is to be done.'],
  ],
]);

/**
 * Throws UNSUPPORTED where a build file has an instruction that this build cannot follow, INPUT_INVALID
 * where one stands in a place where sealer would not have it, naming the line.
 */
export function requireSupported(kubefile: Kubefile): void {
  requireLaunchAtEnd(kubefile);
  for (const { keyword, line } of kubefile.instructions) {
    const [why, hint] = unsupported.get(keyword) ?? [];
    if (why !== undefined) throw kubefileError(kubefile, line, 'UNSUPPORTED', why, hint);
  }
}

/** Throws UNSUPPORTED where a build file has an instruction that only sealer knows, naming the line. */
export function requireForEngines(kubefile: Kubefile): void {
  for (const { keyword, line } of kubefile.instructions) {
    if (!sealerKeywords.has(keyword)) continue;
    const hint =
      'Do what RUN is to do before the build and COPY the result; then it needs no engine.';
    throw kubefileError(kubefile, line, 'UNSUPPORTED', `no engine knows ${keyword}`, hint);
  }
}
