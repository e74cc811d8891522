import type { z } from 'zod';
import { serveVerb } from '../src/verbs/serve.ts';
import type { Place } from './place.ts';

/** A server at work. */
export interface Serving {
  readonly url: string;
  readonly host: string;
  /** Interrupts, and gives what the verb gives. */
  stop(): Promise<{ readonly url: string }>;
}

/** Serves what lies at some locations, until it is stopped. */
export async function serving(
  here: Pick<Place, 'run' | 'events'>,
  locations: readonly string[],
  more: Omit<z.input<typeof serveVerb.options>, 'locations'> = {},
): Promise<Serving> {
  const controller = new AbortController();
  const options = { locations: [...locations], ...more };
  const before = here.events.length;
  const done = here.run(serveVerb, options, controller.signal);
  const listening = async (): Promise<string> => {
    for (;;) {
      const found = here.events.slice(before).find(({ type }) => type === 'listening');
      if (found?.type === 'listening') return found.url;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const url = await Promise.race([listening(), done.then((served) => served.url)]);
  return {
    url,
    host: new URL(url).host,
    stop: () => {
      controller.abort();
      return done;
    },
  };
}
