import { type Content, type Digest, fileOf, jsonOf, readAll } from '@cluster-image/oci';
import { directory } from './directory.ts';
import { type BlobSource, type LayerPlan, layer, layerPlanSchema } from './layer.ts';
import type { Store } from './store.ts';
import { planLimit, planPath } from './virtual-image.ts';

/** The layers of images that were built here, each as long as all that it is made of is in the store. */
export function builtLayers({ registry: { disk }, blobs }: Store): BlobSource {
  return async (digest) => {
    for await (const path of imagesBelow(disk.path('images'))) {
      const plan = await planIn(path, digest);
      if (plan && (await isWhole(plan))) return layer(plan, blobs);
    }
    return undefined;
  };

  async function* imagesBelow(path: string): AsyncIterable<string> {
    for (const name of await disk.names(path)) {
      const inner = `${path}/${name}`;
      if (name !== '_tags') yield* imagesBelow(inner);
      else for (const tag of await disk.names(inner)) yield `${inner}/${tag}`;
    }
  }

  async function planIn(path: string, digest: Digest): Promise<LayerPlan | undefined> {
    const plan = await fileOf(directory(path, undefined, disk.fs), planPath(digest));
    // A damaged one is no reason not to look on.
    return plan && layerPlanSchema.safeParse(jsonOf(await readAll(plan, planLimit))).data;
  }

  async function isWhole({ entries }: LayerPlan): Promise<boolean> {
    for (const entry of entries) {
      if (entry.type !== 'file') continue;
      const found: Content | undefined = await blobs(entry.digest, entry.size);
      if (found?.size !== entry.size) return false;
    }
    return true;
  }
}
