import { createHash, randomBytes } from 'node:crypto';
import type { z } from 'zod';
import { cacheServerVerb } from '../../src/verbs/cache-server.ts';
import type { Place } from '../place.ts';

/** A cache at work. */
export interface Caching {
  readonly url: string;
  /** Asks as Nx does. */
  nx(method: 'GET' | 'PUT', hash: string, given?: Asked): Promise<Answered>;
  /** Asks as Turborepo does; a team is a query. */
  turbo(method: string, path: string, given?: Asked): Promise<Answered>;
  stop(): Promise<void>;
}

export interface Asked {
  readonly token?: string;
  readonly body?: Uint8Array | string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answered {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

/** Serves a cache until it is stopped. */
export async function caching(
  here: Pick<Place, 'run' | 'events'>,
  location: string,
  more: Omit<z.input<typeof cacheServerVerb.options>, 'location'> = {},
): Promise<Caching> {
  const controller = new AbortController();
  const before = here.events.length;
  const done = here.run(cacheServerVerb, { location, ...more }, controller.signal);
  const listening = async (): Promise<string> => {
    for (;;) {
      const found = here.events.slice(before).find(({ type }) => type === 'listening');
      if (found?.type === 'listening') return found.url;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const url = await Promise.race([listening(), done.then((served) => served.url)]);

  async function ask(method: string, path: string, given: Asked = {}): Promise<Answered> {
    const { token, body, headers } = given;
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      ...(body !== undefined && { body: typeof body === 'string' ? body : Buffer.from(body) }),
    });
    return { status: response.status, text: await response.text(), headers: response.headers };
  }

  return {
    url,
    nx: (method, hash, given) => ask(method, `/v1/cache/${hash}`, given),
    turbo: (method, path, given) => ask(method, `/v8/artifacts/${path}`, given),
    async stop() {
      controller.abort();
      await done;
    },
  };
}

/** A token, and its entry in a file of tokens. */
export function token(
  name: string,
  rights: readonly string[],
  scope?: string,
): { readonly secret: string; readonly entry: Readonly<Record<string, unknown>> } {
  const secret = randomBytes(32).toString('hex');
  const sha256 = createHash('sha256').update(secret).digest('hex');
  return { secret, entry: { name, sha256, rights, ...(scope !== undefined && { scope }) } };
}

/** What was warned of so far. */
export function warnings({ events }: Pick<Place, 'events'>): readonly string[] {
  return events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
}
