import { handler, listen } from '@cluster-image/distribution';
import { bytes, overlay } from '@cluster-image/oci';
import { saveFile } from '@cluster-image/storage';
import { z } from 'zod';
import { openRegistries } from '../registries.ts';
import { commonOptions, withWorkspace } from '../workspace.ts';
import { platformOption } from './context-options.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  ...platformOption.shape,
  locations: z
    .array(z.string())
    .min(1)
    .describe('Contexts, cluster images or registry directories, served as one registry'),
  port: z.int().min(0).max(65535).default(0).describe('Port on 127.0.0.1; 0 for any'),
  endpointFile: z.string().optional().describe('File to write the URL to once it is being served'),
});

interface Served {
  readonly url: string;
}

export const serveVerb: Verb<typeof options, Served> = {
  name: 'serve',
  summary: 'Serve images as a read-only registry on this machine',
  positional: ['locations'],
  options,
  run: (given, environment, context) =>
    withWorkspace(environment, given, context, '.', async (workspace) => {
      const opened = await openRegistries(given.locations, given, workspace);
      const all = overlay(...opened.map(({ registry }) => registry));
      const server = await listen(handler(all), { port: given.port });
      const url = server.url.origin;
      try {
        if (given.endpointFile !== undefined) {
          await saveFile(workspace.path(given.endpointFile), bytes(`${url}\n`));
        }
        context.report({ type: 'listening', url });
        await new Promise<void>((resolve) => {
          if (context.signal.aborted) resolve();
          context.signal.addEventListener('abort', () => resolve(), { once: true });
        });
      } finally {
        await server.close();
      }
      return { url };
    }),
  lines: () => [],
};
