import type { ExecutorContext, TargetConfiguration } from '@nx/devkit';
import { buildVerb, OciError } from 'cluster-image';
import { describe, expect, test, vi } from 'vitest';
import buildImage from '../src/executors/build-image.ts';
import { hintsOf } from '../src/executors/hints.ts';
import pushImage from '../src/executors/push-image.ts';
import { parsed } from '../src/executors/run.ts';

function contextOf(
  targetName: string,
  targets: Readonly<Record<string, TargetConfiguration>>,
): ExecutorContext {
  return {
    root: '/workspace',
    cwd: '/workspace',
    isVerbose: false,
    projectName: 'edge',
    targetName,
    projectsConfigurations: { version: 2, projects: { edge: { root: 'edge', targets } } },
    nxJsonConfiguration: {},
    projectGraph: { nodes: {}, dependencies: {} },
  };
}

/** What an executor prints where it fails. */
async function failure(
  run: (options: object, context: ExecutorContext) => Promise<{ readonly success: boolean }>,
  options: object,
  context: ExecutorContext,
): Promise<readonly string[]> {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
  try {
    expect(await run(options, context)).toEqual({ success: false });
    return printed.mock.calls.map(([line]) => String(line));
  } finally {
    printed.mockRestore();
  }
}

describe('an option with a wrong value', () => {
  const task = { project: 'edge', target: 'build-image' };

  test.each([
    [{ maxLayers: 3 }, /^option of edge:build-image: maxLayers: .*10/],
    [{ plainHttp: ['a:1', 'a/b'] }, /^option of edge:build-image: plainHttp\.1: not a host/],
    [{ engine: 'make' }, /^option of edge:build-image: engine: .*"podman"/],
  ])('is told with its target and what is allowed: %j', (options, message) => {
    expect(() => parsed(buildVerb, options, task)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(message) }),
    );
  });

  test('is told before anything is done', async () => {
    const context = contextOf('build-image', {});
    const lines = await failure(buildImage, { maxLayers: 3 }, context);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^error: option of edge:build-image: maxLayers: /);
    expect(lines[1]).toContain('nx show project edge');
  });
});

test('an image that is pushed to nowhere is told with the target to name it in', async () => {
  const options = { from: 'oci:edge/dist/image', buildTarget: 'cluster' };
  const lines = await failure(pushImage, options, contextOf('push', { cluster: { options: {} } }));
  expect(lines[0]).toBe('error: nothing says where edge:push pushes the image to');
  expect(lines[1]).toMatch(/cluster in project\.json.*"tag".*nx run edge:push --to /);
});

describe('what is not pinned', () => {
  const drift = new OciError('LOCK_DRIFT', 'not pinned', { hint: 'Run it.' });
  const lock = { pin: { executor: '@cluster-image/nx:lock-images' } };

  test('is told with what Nx has for it', () => {
    expect(hintsOf(drift, contextOf('build-image', lock))).toEqual([
      'Run it.',
      'With Nx: `nx sync`, or `nx run edge:pin` for this project.',
    ]);
    expect(hintsOf(drift, contextOf('build-image', {}))).toEqual([
      'Run it.',
      'With Nx: `nx sync`.',
    ]);
  });

  test('is all that Nx has something for', () => {
    const context = contextOf('build-image', lock);
    expect(hintsOf(new OciError('NOT_FOUND', 'gone', { hint: 'Look.' }), context)).toEqual([
      'Look.',
    ]);
    expect(hintsOf(new Error('other'), context)).toEqual([]);
  });
});
