import type { Content, Manifest } from '@cluster-image/oci';
import type { Scratch } from '@cluster-image/storage';

/**
 * What a container engine of this machine does for us. It keeps images in a form of its own and hands
 * them over as archives, from the beginning to the end, which is why they lie in files meanwhile.
 */
export interface Engine {
  /**
   * Writes the archive of an image into a file that is empty: its config, and its layers as they were
   * before any compression. That depends on nothing but the image's id.
   */
  save(name: string, file: Scratch): Promise<void>;
  /** What is known of an image beside that. */
  manifestOf(name: string): Promise<KnownManifest>;
  /** Takes in the archive of an image, which has the name that it is to have. */
  load(archive: Content, name: string): Promise<void>;
  close(): Promise<void>;
}

/** What an engine still knows of the manifest that an image came with. */
export interface KnownManifest {
  readonly manifest?: Manifest;
  /** Where that is all it knows. */
  readonly annotations?: Readonly<Record<string, string>>;
}
