import type { Digest, Registry } from '@cluster-image/oci';

/**
 * The same registry, which is told of a blob that it was given before in which repository that is, so
 * that it need not be sent twice. A blob that is on its way is waited for.
 */
export function mounting(registry: Registry): Registry {
  const places = new Map<Digest, Promise<string | undefined>>();
  return {
    ...registry,
    async putBlob(repository, digest, content, mountFrom) {
      const before = places.get(digest);
      const putting = put();
      places.set(
        digest,
        putting.then(
          () => repository,
          () => undefined,
        ),
      );
      await putting;

      async function put(): Promise<void> {
        const place = mountFrom ?? (await before);
        const isElsewhere = place !== undefined && place !== repository;
        await registry.putBlob(repository, digest, content, isElsewhere ? place : undefined);
      }
    },
  };
}
