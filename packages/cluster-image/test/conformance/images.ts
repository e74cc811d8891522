import {
  type Algorithm,
  type Descriptor,
  type Digest,
  digestOf,
  mediaTypes,
} from '@cluster-image/oci';
import { noise } from '@cluster-image/testing';

/** A manifest as a client writes it, and what it is pushed under. */
export interface Written {
  readonly descriptor: Descriptor;
  readonly body: Uint8Array;
  readonly tags: readonly string[];
}

/** What is pushed: blobs first, then manifests, parts before wholes. */
export interface Pushed {
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
  readonly manifests: readonly Written[];
  /** Digests of what is about something, by its subject. */
  readonly referrers: ReadonlyMap<Digest, readonly Referrer[]>;
}

export interface Referrer extends Descriptor {
  readonly artifactType?: string;
}

type Fields = Readonly<Record<string, unknown>>;

export const emptyType = 'application/vnd.oci.empty.v1+json';
export const exampleType = 'application/vnd.example.conformance.1';
export const otherType = 'application/vnd.example.conformance.2';

/** Puts together what a client would push, with digests of one algorithm. */
export function writer(algorithm: Algorithm = 'sha256') {
  const blobs = new Map<Digest, Uint8Array>();
  const manifests: Written[] = [];
  const referrers = new Map<Digest, Referrer[]>();

  function blob(mediaType: string, body: Uint8Array | string): Descriptor {
    const data = Buffer.from(body);
    const digest = digestOf(data, algorithm);
    blobs.set(digest, data);
    return { mediaType, digest, size: data.length };
  }

  function manifest(mediaType: string, fields: Fields, tags: readonly string[]): Descriptor {
    const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }, null, 2));
    const descriptor = { mediaType, digest: digestOf(body, algorithm), size: body.length };
    manifests.push({ descriptor, body, tags });
    return descriptor;
  }

  return {
    blob,
    image(seed: string, fields: Fields = {}, ...tags: readonly string[]): Descriptor {
      const layers = [100, 1500].map((size, at) =>
        blob(mediaTypes.ociLayerGzip, noise(`${seed} ${at}`, size)),
      );
      const config = blob(
        mediaTypes.ociConfig,
        JSON.stringify({ architecture: seed, os: 'linux' }),
      );
      return manifest(mediaTypes.ociManifest, { config, layers, ...fields }, tags);
    },
    artifact(seed: string, fields: Fields = {}, ...tags: readonly string[]): Descriptor {
      const config = blob(emptyType, '{}');
      const layers = [blob(exampleType, noise(seed, 300))];
      const all = { artifactType: exampleType, config, layers, ...fields };
      return manifest(mediaTypes.ociManifest, all, tags);
    },
    index(
      children: readonly Descriptor[],
      fields: Fields = {},
      ...tags: readonly string[]
    ): Descriptor {
      return manifest(mediaTypes.ociIndex, { manifests: children, ...fields }, tags);
    },
    /** Notes down that something is listed as being about something else. */
    about(subject: Digest, referrer: Referrer): void {
      referrers.set(subject, [...(referrers.get(subject) ?? []), referrer]);
    },
    written: (): Pushed => ({ blobs, manifests, referrers }),
  };
}

type Write = (to: ReturnType<typeof writer>) => void;

const platforms = (to: ReturnType<typeof writer>, seed: string): readonly Descriptor[] =>
  ['amd64', 'arm64'].map((architecture) => ({
    ...to.image(`${seed} ${architecture}`),
    platform: { os: 'linux', architecture },
  }));

const annotations = { 'org.opencontainers.conformance': 'hello' };

/** What every registry has to take, by what it is. */
export const everyImage: Readonly<Record<string, Write>> = {
  'an image': (to) => to.image('image', {}, 'image'),
  'an image with other tags': (to) => to.image('tags', {}, 'one', 'V1.0_x-y', '0', 'x'.repeat(128)),
  'an image without layers': (to) => to.image('none', { layers: [] }, 'no-layers'),
  'an image with fields of its own': (to) => {
    to.image('custom', { 'org.opencontainers.conformance': 'x', nested: { a: [1] } }, 'custom');
  },
  'an image with a large manifest': (to) => {
    const many = Array.from({ length: 390 }, (_, at) => [`large-${at}`, 'A'.repeat(10_000)]);
    to.image('large', { annotations: Object.fromEntries(many) }, 'large');
  },
  'an image with data in its descriptors': (to) => {
    const body = Buffer.from('{"os":"linux","architecture":"amd64"}');
    const config = { ...to.blob(mediaTypes.ociConfig, body), data: body.toString('base64') };
    to.image('data', { config }, 'data-field');
  },
  'an image with layers that are not to be passed on': (to) => {
    const foreign = ['tar', 'tar+gzip'].map((kind, at) => ({
      mediaType: `application/vnd.oci.image.layer.nondistributable.v1.${kind}`,
      digest: digestOf(Buffer.from(`foreign ${at}`)),
      size: 123_456,
      urls: ['https://store.example.com/blob'],
    }));
    const own = to.blob(mediaTypes.ociLayerGzip, noise('own', 400));
    to.image('foreign', { layers: [...foreign, own] }, 'non-distributable');
  },
  'an index': (to) => to.index(platforms(to, 'index'), {}, 'index'),
  'an index of indexes': (to) => {
    const [one, two] = [to.index(platforms(to, 'one')), to.index(platforms(to, 'two'))];
    to.index([one, two], {}, 'index-of-index');
  },
  'an index of nothing': (to) => to.index([], {}, 'empty-index'),
  'an artifact': (to) => to.artifact('artifact', {}, 'artifact'),
  'an artifact without layers': (to) => {
    to.artifact('empty', { layers: [to.blob(emptyType, '{}')] }, 'artifact-without-layers');
  },
  'an index of artifacts': (to) => {
    const children = [to.artifact('first'), to.artifact('second')];
    to.index(children, { artifactType: exampleType }, 'artifact-index');
  },
  'artifacts that are about an image': (to) => {
    const subject = to.image('subject', {}, 'subject');
    const image = to.image('about', { subject });
    to.about(subject.digest, { ...image, artifactType: mediaTypes.ociConfig });
    for (const [artifactType, tag] of [
      [exampleType, 'tagged-1'],
      [otherType, 'tagged-2'],
    ] as const) {
      const about = to.artifact(tag, { artifactType, annotations, subject }, tag);
      to.about(subject.digest, { ...about, artifactType, annotations });
    }
  },
  'indexes that are about an index': (to) => {
    const subject = to.index(platforms(to, 'subject'), {}, 'subject');
    const fields = { artifactType: exampleType, annotations, subject };
    const about = to.index([to.artifact('child')], fields, 'tagged');
    to.about(subject.digest, { ...about, artifactType: exampleType, annotations });
  },
  'an artifact about what is not there': (to) => {
    const digest = digestOf(Buffer.from('missing'));
    const subject = { mediaType: mediaTypes.ociManifest, digest, size: 123 };
    const about = to.artifact('missing', { annotations, subject }, 'about-missing');
    to.about(digest, { ...about, artifactType: exampleType, annotations });
  },
};
