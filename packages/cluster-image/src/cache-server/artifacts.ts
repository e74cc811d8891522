import {
  bytes,
  type Content,
  codeOf,
  type Descriptor,
  type Digest,
  digestOf,
  hasher,
  type ImageManifest,
  isDamage,
  isSeekable,
  type Manifest,
  mediaTypes,
  OciError,
  parseManifest,
  type Registry,
  readAll,
  type Spool,
  verified,
} from '@cluster-image/oci';
import type { Claim } from './claims.ts';
import { type ArtifactKey, nameOf, tagOf } from './keys.ts';

/** What builds have stored, each under a key that means one thing for ever. */
export interface Artifacts {
  /** Undefined where there is none, or none that is whole. */
  find(key: ArtifactKey): Promise<Artifact | undefined>;
  /** Stores an artifact. Where there is one already that stays, and of the body nothing need be read; false then. */
  put(key: ArtifactKey, given: GivenArtifact): Promise<boolean>;
}

export interface Artifact {
  readonly notes: Notes;
  /** Checked while it is read: the last bytes come only where all were right. */
  readonly content: Content;
  /** The same once it is known to be right. Throws as reading it does. */
  whole(): Promise<Content>;
}

export interface GivenArtifact {
  readonly body: AsyncIterable<Uint8Array>;
  readonly notes: Notes;
  /** Who gives it. */
  readonly by: string;
}

/** What a tool wants to know again of an artifact. */
export type Notes = Readonly<Record<string, string>>;

/** Where artifacts are kept. */
export interface Shelf {
  readonly registry: Registry;
  readonly repository: string;
  /** Takes in what comes, before its digest is known. */
  readonly spool: Spool;
  readonly claim: Claim;
  /** What a tag means, in as few steps as possible. */
  fetch(tag: string): Promise<Manifest | undefined>;
  /** Stores something, while nobody removes anything. */
  storing<T>(job: () => Promise<T>): Promise<T>;
  /** Removes an artifact that is not what it should be; false where that is not possible. */
  discard(manifest: Digest, layer: Digest): Promise<boolean>;
}

const artifactType = 'application/vnd.cluster-image.cache.v1';
const annotation = 'io.cluster-image.cache.';

/** https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md#guidance-for-an-empty-descriptor */
const empty = bytes('{}');
const emptyConfig: Descriptor = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: digestOf(new TextEncoder().encode('{}')),
  size: empty.size,
};

/** What is read into memory before it is answered, in bytes. */
const readAhead = 1024 * 1024;

/** How many damaged artifacts are remembered. */
const mostDamaged = 10_000;

/**
 * Artifacts in a repository of any registry: each is a manifest of one layer, under a tag that follows
 * from its key; see docs/formats.md#remote-cache.
 *
 * @param damaged is told of what is not what it should be
 */
export function artifacts(
  shelf: Shelf,
  damaged: (name: string, error: unknown) => void,
): Artifacts {
  const { registry, repository, spool } = shelf;
  const known = new Set<Digest>();
  const turns = new Map<string, Promise<unknown>>();

  async function find(key: ArtifactKey): Promise<Artifact | undefined> {
    const name = nameOf(key);
    try {
      const manifest = await shelf.fetch(tagOf(key));
      if (!manifest || known.has(manifest.digest)) return undefined;
      const layer = layerOf(manifest, name);
      const lost = async (error: unknown): Promise<void> => {
        damaged(name, error);
        if (!(await shelf.discard(manifest.digest, layer.digest))) remember(manifest.digest);
      };
      const blob = await registry.blob(repository, layer.digest, layer.size);
      if (blob?.size !== layer.size) {
        await lost(missing(name, layer.digest));
        return undefined;
      }
      const content = noticed(verified(blob, layer.digest, name), lost);
      const isNear = isSeekable(blob);
      return { notes: notesOf(manifest), content, whole: () => whole(content, isNear) };
    } catch (error) {
      if (!isLost(error)) throw error;
      damaged(name, error);
      return undefined;
    }
  }

  async function whole(content: Content, isNear: boolean): Promise<Content> {
    if (content.size <= readAhead) return bytes(await readAll(content, readAhead));
    if (!isNear) return gathered(content);
    for await (const _ of content.open());
    return content;
  }

  /** A copy that is gone once it was read. */
  async function gathered(content: Content): Promise<Content> {
    const spooled = await spool.begin();
    try {
      await spooled.append(content.open());
    } catch (error) {
      await spooled.end();
      throw error;
    }
    return {
      size: content.size,
      async *open(range = { start: 0, end: content.size }) {
        try {
          yield* spooled.read(range);
        } finally {
          await spooled.end();
        }
      },
    };
  }

  async function put(key: ArtifactKey, { body, notes, by }: GivenArtifact): Promise<boolean> {
    if (await find(key)) return false;
    const spooled = await spool.begin();
    try {
      const hash = hasher();
      await spooled.append(hashed(body, hash));
      const content = await spooled.content();
      const layer = { digest: hash.digest(), size: content.size };
      const manifest = manifestOf(key, layer, { ...notes, token: by });
      return await shelf.storing(async () => {
        await registry.putBlob(repository, layer.digest, content);
        await registry.putBlob(repository, emptyConfig.digest, empty);
        return inTurn(tagOf(key), () => first(key, manifest));
      });
    } finally {
      await spooled.end();
    }
  }

  async function first(key: ArtifactKey, manifest: Manifest): Promise<boolean> {
    const tag = tagOf(key);
    const isFirst = await shelf.claim(manifest, tag).catch((error) => {
      if (isDamage(error)) return false;
      throw error;
    });
    if (!isFirst && (await find(key))) return false;
    // What is there is not whole.
    if (!isFirst) await registry.putManifest(repository, manifest, tag);
    known.delete(manifest.digest);
    return true;
  }

  /** One after another for one tag. */
  function inTurn<T>(tag: string, job: () => Promise<T>): Promise<T> {
    const before = turns.get(tag) ?? Promise.resolve();
    const running = before.catch(() => {}).then(job);
    turns.set(tag, running);
    return running.finally(() => {
      if (turns.get(tag) === running) turns.delete(tag);
    });
  }

  function remember(digest: Digest): void {
    const [oldest] = known;
    if (known.size >= mostDamaged && oldest !== undefined) known.delete(oldest);
    known.add(digest);
  }

  return { find, put };
}

function manifestOf(
  key: ArtifactKey,
  layer: Pick<Descriptor, 'digest' | 'size'>,
  notes: Notes,
): Manifest {
  const said = Object.entries({ key: nameOf(key), ...notes });
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType,
    config: emptyConfig,
    layers: [{ mediaType: 'application/octet-stream', ...layer }],
    annotations: Object.fromEntries(said.map(([name, value]) => [`${annotation}${name}`, value])),
  };
  return parseManifest(new TextEncoder().encode(JSON.stringify(manifest)), nameOf(key));
}

/** The layer of an artifact. Throws MANIFEST_INVALID for the manifest of anything else. */
function layerOf(manifest: Manifest, name: string): Descriptor {
  const isOurs =
    manifest.artifactType === artifactType && manifest.annotations[`${annotation}key`] === name;
  const layers = isOurs && manifest.kind === 'image' ? manifest.layers : [];
  const [layer] = layers;
  if (layer && layers.length === 1) return layer;
  throw new OciError('MANIFEST_INVALID', `manifest ${manifest.digest} is not that of ${name}`);
}

function notesOf({ annotations }: Pick<ImageManifest, 'annotations'>): Notes {
  return Object.fromEntries(
    Object.entries(annotations)
      .filter(([name]) => name.startsWith(annotation))
      .map(([name, value]) => [name.slice(annotation.length), value]),
  );
}

function missing(name: string, digest: Digest): OciError {
  return new OciError('NOT_FOUND', `${name}: the registry has no blob ${digest} of the right size`);
}

/** Whether an error says that an artifact is not whole, rather than that it cannot be reached. */
function isLost(error: unknown): boolean {
  return isDamage(error) || codeOf(error) === 'NOT_FOUND';
}

/** The same content; somebody is told when it turns out not to be whole. */
function noticed(content: Content, lost: (error: unknown) => Promise<void>): Content {
  return {
    size: content.size,
    async *open(range) {
      try {
        yield* content.open(range);
      } catch (error) {
        if (isLost(error)) await lost(error);
        throw error;
      }
    },
  };
}

async function* hashed(
  body: AsyncIterable<Uint8Array>,
  hash: ReturnType<typeof hasher>,
): AsyncIterable<Uint8Array> {
  for await (const chunk of body) {
    hash.update(chunk);
    yield chunk;
  }
}
