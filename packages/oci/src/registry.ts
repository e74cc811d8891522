import type { Content } from './content.ts';
import type { Digest } from './digest.ts';
import type { Descriptor, Manifest } from './manifest.ts';

/**
 * Repositories of manifests and blobs, wherever they lie. What is absent is `undefined`; every other
 * failure throws. A `reference` is a tag or a digest. https://github.com/opencontainers/distribution-spec
 */
export interface RegistryReader {
  /** What a tag or digest means now. */
  resolve(repository: string, reference: string): Promise<Descriptor | undefined>;
  /** The manifest with that digest, its bytes checked against it. */
  manifest(repository: string, digest: Digest): Promise<Manifest | undefined>;
  /**
   * A handle on a blob. Given its size in bytes, nothing is asked until it is opened, and a blob that
   * turns out to be missing then throws NOT_FOUND. The bytes are as the source has them: whoever
   * keeps them or passes them on checks them.
   */
  blob(repository: string, digest: Digest, size?: number): Promise<Content | undefined>;
  repositories(): AsyncIterable<string>;
  /** The tags of a repository in bytewise order; none for one that does not exist. */
  tags(repository: string): AsyncIterable<string>;
}

/** A registry that can be written. Reader and writer are two types, so that copying into what cannot be written does not compile. */
export interface Registry extends RegistryReader {
  /**
   * Stores a blob, or does nothing (and opens nothing) where the repository has it. Bytes that are
   * not what the digest and size say leave no trace and throw DIGEST_MISMATCH or SIZE_MISMATCH.
   *
   * @param mountFrom another repository of this registry that may have the blob already
   */
  putBlob(repository: string, digest: Digest, content: Content, mountFrom?: string): Promise<void>;
  /** Stores a manifest, whose blobs and children are there already, and then moves the tag to it. */
  putManifest(repository: string, manifest: Manifest, tag?: string): Promise<void>;
}

/** A repository of some registry. */
export interface Repository<R extends RegistryReader = RegistryReader> {
  readonly registry: R;
  readonly repository: string;
}
