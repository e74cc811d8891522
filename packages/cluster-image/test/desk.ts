import {
  type FaultRegistry,
  type FaultRegistryOptions,
  faultRegistry,
  imageFixture,
  indexFixture,
} from '@cluster-image/testing';
import { putImages } from './cluster-files.ts';
import { type Place, place } from './place.ts';

export const image = imageFixture({ seed: 'app', layers: [2000, 5000] });
export const other = imageFixture({ seed: 'other' });
export const index = indexFixture(['linux/amd64', 'linux/arm64'], { seed: 'index' });

export interface Desk extends Place {
  readonly upstream: FaultRegistry;
  readonly host: string;
}

/** A place beside a registry that has `image` as `acme/app:1` and `index` as `acme/index:1`. */
export async function desk(options: FaultRegistryOptions = {}): Promise<Desk> {
  const upstream = await faultRegistry(options);
  await putImages(upstream, { 'acme/app:1': image, 'acme/index:1': index });
  return { ...(await place()), upstream, host: upstream.host };
}
