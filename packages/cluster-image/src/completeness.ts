import { type Context, createContext, type Digest } from '@cluster-image/oci';
import { directory, readThinImage } from '@cluster-image/storage';
import type { Environment } from './environment.ts';
import { type CommonOptions, withWorkspace } from './workspace.ts';

/**
 * Whether everything that a thin image is made of is in the store, so that it can be delivered. A
 * task cache restores the image on a machine whose store has never seen it.
 */
export async function isDeliverable(
  path: string,
  options: CommonOptions,
  environment: Environment,
  context: Context = createContext(),
): Promise<boolean> {
  return withWorkspace(environment, options, context, '.', async (workspace) => {
    const image = await readThinImage(directory(workspace.path(path)), path);
    if (!image) return false;
    const wanted = new Map<Digest, number>();
    for (const manifest of image.manifests.values()) {
      if (manifest.kind !== 'image') continue;
      for (const { digest, size } of manifest.layers) {
        const plan = image.plans.get(digest);
        if (!plan) wanted.set(digest, size);
        for (const entry of plan?.entries ?? []) {
          if (entry.type === 'file') wanted.set(entry.digest, entry.size);
        }
      }
    }
    for (const [digest, size] of wanted) {
      if ((await workspace.store.blobs(digest, size))?.size !== size) return false;
    }
    return true;
  });
}
