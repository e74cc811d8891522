import { type Content, type Context, formatReference, OciError } from '@cluster-image/oci';
import { archive, type LayoutReader, type Scratch } from '@cluster-image/storage';
import PQueue from 'p-queue';
import type { Environment } from '../environment.ts';
import { formatLocation, type Location } from '../location.ts';
import { containersStorage } from './containers-storage.ts';
import { dockerDaemon } from './docker-daemon.ts';
import type { Engine } from './engine.ts';
import { withManifest } from './known-manifest.ts';

/** An image that a container engine of this machine keeps. */
export type EngineLocation = Extract<
  Location,
  { readonly kind: 'docker-daemon' | 'containers-storage' }
>;

export function isInEngine(location: Location): location is EngineLocation {
  return location.kind === 'docker-daemon' || location.kind === 'containers-storage';
}

/** The container engines of this machine. */
export interface Engines {
  /** The archive of one image. It is gathered when it is first asked for, and lies on the disk until it is released. */
  read(location: EngineLocation, form: Form): Promise<LayoutReader>;
  /** Lets go of what was gathered of an image. */
  release(location: EngineLocation): Promise<void>;
  /** Hands over an archive, which calls its image what the location does. */
  write(location: EngineLocation, content: Content): Promise<void>;
  /** Lets go of everything. */
  close(): Promise<void>;
}

/** Whether an image is to be what its id says and nothing else, or as much as there is of what it came as. */
export type Form = 'plain' | 'faithful';

/** How many images are gathered at a time: their engine and the disk are the limit, not the line. */
const imagesAtOnce = 2;

/** @param scratch where images lie meanwhile */
export function engines(
  environment: Environment,
  scratch: () => Promise<Scratch>,
  context: Context,
): Engines {
  const all: Readonly<Record<EngineLocation['kind'], Engine>> = {
    'docker-daemon': dockerDaemon(environment, context),
    'containers-storage': containersStorage(environment, scratch, context),
  };
  const queue = new PQueue({ concurrency: imagesAtOnce });
  const gathered = new Map<string, Promise<Gathered>>();

  async function gather(location: EngineLocation, form: Form): Promise<Gathered> {
    const engine = all[location.kind];
    const name = nameIn(location);
    const what = formatLocation(location);
    const known = form === 'plain' ? {} : await engine.manifestOf(name);
    const file = await scratch();
    try {
      await engine.save(name, file);
      const content = await file.content();
      if (!content) throw new OciError('FILE_SYSTEM', `${what}: ${file.path} is gone`);
      return { layout: await withManifest(await archive(content, what), known, what), file };
    } catch (error) {
      await file.end();
      throw error;
    }
  }

  async function release(key: string): Promise<void> {
    const found = await gathered.get(key)?.catch(() => undefined);
    gathered.delete(key);
    await found?.file.end();
  }

  return {
    async read(location, form) {
      const key = keyOf(location, form);
      const known = gathered.get(key) ?? queue.add(() => gather(location, form));
      gathered.set(key, known);
      return (await known).layout;
    },
    async release(location) {
      for (const form of ['plain', 'faithful'] as const) await release(keyOf(location, form));
    },
    write: (location, content) => all[location.kind].load(content, nameIn(location)),
    async close() {
      for (const key of [...gathered.keys()]) await release(key);
      for (const engine of Object.values(all)) await engine.close();
    },
  };
}

interface Gathered {
  readonly layout: LayoutReader;
  readonly file: Scratch;
}

function keyOf(location: EngineLocation, form: Form): string {
  return `${form} ${formatLocation(location)}`;
}

function nameIn(location: EngineLocation): string {
  return 'id' in location ? location.id : formatReference(location.reference);
}
