import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@cluster-image/testing';
import type { ExecutorContext, TargetConfiguration } from '@nx/devkit';
import { expect, test } from 'vitest';
import { unseenImages } from '../src/executors/unseen-images.ts';

async function unseen(web: TargetConfiguration): Promise<readonly string[]> {
  const root = await temporaryDirectory();
  await mkdir(join(root, 'edge'));
  const from = 'docker-daemon:apps-web';
  const shared = { other: { from, project: 'web', target: 'other' }, plain: 'oci:apps/api/dist' };
  const own = { web: { from, project: 'web', target: 'container' }, gone: { from, project: 'x' } };
  for (const [path, workspaceImages] of [['.', shared] as const, ['edge', own] as const]) {
    await writeFile(join(root, path, 'cluster-image.json'), JSON.stringify({ workspaceImages }));
  }
  const projects = {
    edge: { root: 'edge' },
    web: { root: 'apps/web', targets: { container: web, other: { outputs: ['{projectRoot}/x'] } } },
  };
  const context: ExecutorContext = {
    root,
    cwd: root,
    isVerbose: false,
    projectName: 'edge',
    projectsConfigurations: { version: 2, projects },
    nxJsonConfiguration: {},
    projectGraph: { nodes: {}, dependencies: {} },
  };
  return unseenImages(context);
}

test('images whose tasks leave nothing behind are told, for Nx does not see them change', async () => {
  expect(await unseen({ command: 'docker build .' })).toEqual(['web:container']);
  expect(await unseen({ outputs: [] })).toEqual(['web:container']);
  expect(await unseen({ outputs: ['{projectRoot}/dist/image.iid'] })).toEqual([]);
});
