import type { Tree } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { beforeEach, expect, test } from 'vitest';
import ClusterImageVersionActions from '../src/release/version-actions.ts';

const manifestPath = 'clusters/edge/project.json';
let tree: Tree;

beforeEach(() => {
  tree = createTreeWithEmptyWorkspace();
});

const version: ConstructorParameters<typeof ClusterImageVersionActions>[2] = {
  specifierSource: 'prompt',
  currentVersionResolver: 'disk',
  currentVersionResolverMetadata: {},
  fallbackCurrentVersionResolver: 'disk',
  versionPrefix: 'auto',
  preserveLocalDependencyProtocols: true,
  preserveMatchingDependencyRanges: true,
  adjustSemverBumpsForZeroMajorVersion: true,
  applyPreidToDependents: false,
  versionActionsOptions: {},
  manifestRootsToUpdate: [],
  dockerOptions: {},
};

/** What `nx release` does with the project that the text describes. */
async function actionsOn(text: string): Promise<ClusterImageVersionActions> {
  tree.write(manifestPath, text);
  const targets = {
    'build-image': { executor: '@cluster-image/nx:build-image' },
    other: { executor: 'other:other' },
  };
  const actions = new ClusterImageVersionActions(
    { name: 'all', resolvedVersionPlans: false },
    { name: 'edge', type: 'app', data: { root: 'clusters/edge', targets } },
    { ...version, manifestRootsToUpdate: [] },
  );
  await actions.init(tree);
  return actions;
}

const named = (tag: string): string =>
  JSON.stringify({ name: 'edge', targets: { 'build-image': { options: { tag } } } });

test('a version is written in its place, and all else stays: order, comments and indentation', async () => {
  const text = (version: string): string =>
    `{\n\t"name": "edge", // ours\n\t"tags": [ "a" ],\n\t"targets": {\n\t\t"other": { "options": { "tag": "a:1.0.0" } },\n\t\t"build-image": { "options": { "tag": "registry.example:5000/acme/edge:${version}" } }\n\t},\n}\n`;
  const actions = await actionsOn(text('1.0.0'));
  expect(await actions.readCurrentVersionFromSourceManifest(tree)).toEqual({
    currentVersion: '1.0.0',
    manifestPath,
  });
  expect(await actions.updateProjectVersion(tree, '1.1.0')).toEqual([
    `✍️  registry.example:5000/acme/edge:1.1.0 written to ${manifestPath}`,
  ]);
  expect(tree.read(manifestPath, 'utf8')).toBe(text('1.1.0'));
});

test.each(['registry.example:5000/acme/edge', 'registry.example:5000/acme/edge:latest'])(
  '%s has not been released yet, and its first version is any',
  async (tag) => {
    const actions = await actionsOn(named(tag));
    await actions.validate(tree);
    const { currentVersion } = await actions.readCurrentVersionFromSourceManifest(tree);
    expect(currentVersion).toBe('0.0.0');
    await actions.updateProjectVersion(tree, '1.0.0');
    expect(tree.read(manifestPath, 'utf8')).toBe(named('registry.example:5000/acme/edge:1.0.0'));
  },
);

test('a project that gives no image a name is told where to write one', async () => {
  const actions = await actionsOn('{ "name": "edge" }');
  await expect(actions.validate(tree)).rejects.toThrow(
    `${manifestPath} names no image that could be released: give the target that builds it a name`,
  );
});

test('a tag that is almost a version is nothing to count from', async () => {
  const actions = await actionsOn(named('acme/edge:1.0'));
  await expect(actions.validate(tree)).rejects.toThrow(
    `${manifestPath}: acme/edge:1.0 has no version that nx release can count from; write it with three numbers, as in acme/edge:1.0.0`,
  );
});
