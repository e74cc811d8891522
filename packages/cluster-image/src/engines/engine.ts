import type { Content } from '@cluster-image/oci';
import type { Scratch } from '@cluster-image/storage';

/**
 * What a container engine of this machine does for us. It keeps images in a form of its own and hands
 * them over as archives, from the beginning to the end, which is why they lie in files meanwhile.
 */
export interface Engine {
  /** Writes the archive of an image into a file that is empty. */
  save(name: string, form: Form, file: Scratch): Promise<void>;
  /** Takes in the archive of an image, which has the name that it is to have. */
  load(archive: Content, name: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * `plain` depends on nothing but the id of the image: the same config, its layers as they were before
 * any compression, whatever the manifest was. `faithful` has the manifest, or what it said of the image
 * beside that, where the engine still knows it.
 */
export type Form = 'plain' | 'faithful';
