import type { RegistryReader } from '@cluster-image/oci';
import type { Use } from '@cluster-image/storage';

/** A use of a store that ends by itself when nobody needs it for a while, and begins anew. */
export interface Lingering {
  /** Returns once the store is in use, which lasts a while from now on. */
  renew(): Promise<void>;
  end(): Promise<void>;
}

/** @param linger how long the use lasts after it was last needed, in milliseconds */
export function lingering(begin: () => Promise<Use>, linger: number): Lingering {
  let current: Promise<Use> | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function end(): Promise<void> {
    clearTimeout(timer);
    const ending = current;
    current = undefined;
    await (await ending)?.end();
  }

  return {
    async renew() {
      clearTimeout(timer);
      const own = current ?? begin();
      current = own;
      try {
        await own;
      } catch (error) {
        if (current === own) current = undefined;
        throw error;
      }
      clearTimeout(timer);
      timer = setTimeout(() => void end().catch(() => {}), linger).unref();
    },
    end,
  };
}

/** The same registry, asked only while its store is in use. */
export function renewing(
  reader: RegistryReader,
  { renew }: Pick<Lingering, 'renew'>,
): RegistryReader {
  return {
    async resolve(repository, reference) {
      await renew();
      return reader.resolve(repository, reference);
    },
    async manifest(repository, digest) {
      await renew();
      return reader.manifest(repository, digest);
    },
    async blob(repository, digest, size) {
      await renew();
      return reader.blob(repository, digest, size);
    },
    async *repositories() {
      await renew();
      yield* reader.repositories();
    },
    async *tags(repository) {
      await renew();
      yield* reader.tags(repository);
    },
  };
}
