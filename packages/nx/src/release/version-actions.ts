import { posix } from 'node:path';
import type { Tree } from '@nx/devkit';
import { applyEdits, modify, parse } from 'jsonc-parser';
import { VersionActions } from 'nx/release';
import { imageExecutors } from '../image-executors.ts';
import { objectIn, stringIn } from '../inference/json.ts';

interface Tagged {
  readonly target: string;
  /** Without the version. */
  readonly name: string;
  readonly version: string | undefined;
}

/** What `nx release` can count on from. */
const semver = /^v?\d+\.\d+\.\d+(?:-[\w.-]+)?$/;

/** What comes before the first release. */
const noVersion = '0.0.0';

/**
 * The version of a cluster image is the tag of its name in `project.json`: `registry.example/acme/edge:1.0.0`.
 * `nx release` reads it there and writes the next one. A name without a tag, or with one such as `latest`,
 * has not been released yet.
 */
export default class ClusterImageVersionActions extends VersionActions {
  override validManifestFilenames = ['project.json'];

  override excludeManifestsFromFormatting = true;

  override async readCurrentVersionFromSourceManifest(
    tree: Tree,
  ): Promise<{ currentVersion: string; manifestPath: string }> {
    const manifestPath = this.sourcePath();
    const [found] = this.tagged(tree, manifestPath);
    const isVersion = found?.version !== undefined && semver.test(found.version);
    return { currentVersion: isVersion ? found.version : noVersion, manifestPath };
  }

  /** Nx asks for the version before this, and has no ear for what is wrong with a manifest then. */
  override async validate(tree: Tree): Promise<void> {
    await super.validate(tree);
    if (this.manifestsToUpdate.length === 0) throw new Error(unnamed(this.sourcePath()));
    for (const { manifestPath } of this.manifestsToUpdate) {
      const tagged = this.tagged(tree, manifestPath);
      if (tagged.length === 0) throw new Error(unnamed(manifestPath));
      for (const { name, version = noVersion } of tagged) {
        if (/^v?\d/.test(version) && !semver.test(version)) {
          throw new Error(
            `${manifestPath}: ${name}:${version} has no version that nx release can count from; write it with three numbers, as in ${name}:1.0.0`,
          );
        }
      }
    }
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
    return this.manifestsToUpdate.flatMap(({ manifestPath }) =>
      this.tagged(tree, manifestPath).map(({ target, name }) => {
        const tag = `${name}:${newVersion}`;
        const text = tree.read(manifestPath, 'utf8') ?? '';
        const edits = modify(text, ['targets', target, 'options', 'tag'], tag, {});
        tree.write(manifestPath, applyEdits(text, edits));
        return `✍️  ${tag} written to ${manifestPath}`;
      }),
    );
  }

  override async updateProjectDependencies(): Promise<string[]> {
    return [];
  }

  private sourcePath(): string {
    return posix.join(this.projectGraphNode.data.root, 'project.json');
  }

  /** The targets of the project that name an image. */
  private tagged(tree: Tree, path: string): readonly Tagged[] {
    const { targets = {} } = this.projectGraphNode.data;
    const manifest = objectIn(parse(tree.read(path, 'utf8') ?? '{}'));
    return Object.entries(objectIn(manifest.targets)).flatMap(([target, own]) => {
      const executor = targets[target]?.executor ?? '';
      const tag = stringIn(objectIn(objectIn(own).options).tag) ?? '';
      const [, name, version] = /^(.+?)(?::([^:/@]+))?$/.exec(tag) ?? [];
      return name !== undefined && imageExecutors.includes(executor)
        ? [{ target, name, version }]
        : [];
    });
  }
}

function unnamed(manifestPath: string): string {
  return `${manifestPath} names no image that could be released: give the target that builds it a name, as in "targets": {"build-image": {"options": {"tag": "registry.example/acme/edge"}}}`;
}
