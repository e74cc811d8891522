import type { Content, Range } from './content.ts';
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

/** A registry that can be made to forget. Each tells whether there was such a thing; bytes may stay. */
export interface Removable {
  removeTag(repository: string, tag: string): Promise<boolean>;
  /** Removes a manifest and the tags that mean it. */
  removeManifest(repository: string, digest: Digest): Promise<boolean>;
  removeBlob(repository: string, digest: Digest): Promise<boolean>;
}

/** A registry in which exactly one of those who give a tag its first meaning does so, whatever process they are in. */
export interface Claimable {
  /**
   * Stores a manifest, whose blobs are there already, and gives it a tag that means nothing yet. Tells
   * whether the tag means it then; where it means something else, that stays.
   */
  claimTag(repository: string, manifest: Manifest, tag: string): Promise<boolean>;
}

/** A registry that knows which manifests are about another. */
export interface Referring {
  /** Those whose subject has that digest, which itself need not be there, in bytewise order of their digests. */
  referrers(repository: string, subject: Digest): AsyncIterable<Descriptor>;
}

/** Where bytes are gathered whose digest is told only at the end. */
export interface Spool {
  begin(): Promise<Spooled>;
}

export interface Spooled {
  /** In bytes, so far. */
  readonly size: number;
  /** Adds bytes; those that came before a failure stay. Not while another append is under way. */
  append(chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** A part of what is there so far. */
  read(range: Range): AsyncIterable<Uint8Array>;
  /** All of it, for a registry to store; nothing is added any more, and nothing read after `end`. */
  content(): Promise<Content>;
  /** Lets go of it, whether it was stored or not. */
  end(): Promise<void>;
}

/** A repository of some registry. */
export interface Repository<R extends RegistryReader = RegistryReader> {
  readonly registry: R;
  readonly repository: string;
}
