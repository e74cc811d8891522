import { digestContent } from '@cluster-image/oci';
import type { Store } from '@cluster-image/storage';
import type { Depot } from './assemble.ts';

/** Assembles what is in the store. */
export function storeDepot(store: Store, signal: AbortSignal): Depot {
  return {
    blobs: store.blobs,
    async keep(content) {
      const digest = await digestContent(content);
      await store.registry.putContent(digest, content);
      return { digest, size: content.size };
    },
    describe: (plans) => store.layers.describe(plans, signal),
  };
}
