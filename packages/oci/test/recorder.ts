import type { Registry } from '@cluster-image/oci';

/** A registry that notes down what is asked of it, one line a call. */
export function recorder(registry: Registry, calls: string[]): Registry {
  return {
    async resolve(repository, reference) {
      calls.push(`resolve ${reference}`);
      return registry.resolve(repository, reference);
    },
    async manifest(repository, digest) {
      calls.push(`manifest ${digest}`);
      return registry.manifest(repository, digest);
    },
    async blob(repository, digest, size) {
      calls.push(`blob ${digest}`);
      const found = await registry.blob(repository, digest, size);
      return (
        found && {
          ...found,
          open(range) {
            calls.push(`open ${digest}`);
            return found.open(range);
          },
        }
      );
    },
    repositories: () => registry.repositories(),
    tags: (repository) => registry.tags(repository),
    async putBlob(repository, digest, content, mountFrom) {
      await registry.putBlob(repository, digest, content, mountFrom);
      calls.push(`putBlob ${digest}${mountFrom ? ` from ${mountFrom}` : ''}`);
    },
    async putManifest(repository, manifest, tag) {
      await registry.putManifest(repository, manifest, tag);
      calls.push(`putManifest ${manifest.digest}${tag ? ` as ${tag}` : ''}`);
    },
  };
}
