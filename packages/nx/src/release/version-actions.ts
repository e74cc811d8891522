import { posix } from 'node:path';
import type { Tree } from '@nx/devkit';
import { VersionActions } from 'nx/release';
import { z } from 'zod';
import { imageExecutors } from '../image-executors.ts';

const manifestSchema = z.looseObject({
  targets: z
    .record(
      z.string(),
      z.looseObject({ options: z.looseObject({ tag: z.string().optional() }).optional() }),
    )
    .default({}),
});

interface Tagged {
  readonly target: string;
  /** Without the version. */
  readonly name: string;
  readonly version: string | undefined;
}

/**
 * The version of a cluster image is the tag of its name in `project.json`: `registry.example/acme/edge:1.0.0`.
 * `nx release` reads it there and writes the next one.
 */
export default class ClusterImageVersionActions extends VersionActions {
  override validManifestFilenames = ['project.json'];

  override async readCurrentVersionFromSourceManifest(
    tree: Tree,
  ): Promise<{ currentVersion: string; manifestPath: string } | null> {
    const { root } = this.projectGraphNode.data;
    const manifestPath = posix.join(root, 'project.json');
    const [found] = this.tagged(tree, manifestPath);
    return found?.version === undefined ? null : { currentVersion: found.version, manifestPath };
  }

  /** Tags in a registry are no releases by themselves. */
  override async readCurrentVersionFromRegistry(): Promise<null> {
    return null;
  }

  /** What a cluster image contains is pinned by its lockfile, or built with it. */
  override async readCurrentVersionOfDependency(): Promise<{
    currentVersion: null;
    dependencyCollection: null;
  }> {
    return { currentVersion: null, dependencyCollection: null };
  }

  override async updateProjectVersion(tree: Tree, newVersion: string): Promise<string[]> {
    return this.manifestsToUpdate.flatMap(({ manifestPath }) => {
      const manifest = this.manifest(tree, manifestPath);
      const all = this.tagged(tree, manifestPath);
      for (const { target, name } of all) {
        const known = manifest.targets[target] ?? {};
        const tag = `${name}:${newVersion}`;
        manifest.targets[target] = { ...known, options: { ...known.options, tag } };
      }
      if (all.length === 0) return [`${manifestPath} gives no image a tag`];
      tree.write(manifestPath, `${JSON.stringify(manifest, undefined, 2)}\n`);
      return all.map(({ name }) => `✍️  ${name}:${newVersion} written to ${manifestPath}`);
    });
  }

  override async updateProjectDependencies(): Promise<string[]> {
    return [];
  }

  private manifest(tree: Tree, path: string): z.infer<typeof manifestSchema> {
    return manifestSchema.parse(JSON.parse(tree.read(path, 'utf8') ?? '{}'));
  }

  /** The targets of the project that name an image. */
  private tagged(tree: Tree, path: string): readonly Tagged[] {
    const { targets = {} } = this.projectGraphNode.data;
    return Object.entries(this.manifest(tree, path).targets).flatMap(([target, { options }]) => {
      const executor = targets[target]?.executor ?? '';
      const [, name, version] = /^(.+?)(?::([^:/@]+))?$/.exec(options?.tag ?? '') ?? [];
      return name !== undefined && imageExecutors.includes(executor)
        ? [{ target, name, version }]
        : [];
    });
  }
}
