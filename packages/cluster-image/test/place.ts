import { join } from 'node:path';
import { createContext, type Event } from '@cluster-image/oci';
import { openStore, type Store } from '@cluster-image/storage';
import type { z } from 'zod';
import type { Environment } from '../src/environment.ts';
import type { Verb } from '../src/verbs/verb.ts';
import {
  type CommonOptions,
  commonOptions,
  type Workspace,
  withWorkspace,
} from '../src/workspace.ts';
import { contextDirectory, type Given } from './context.ts';

/** A workspace on disk with a store of its own, in which verbs run as the command runs them. */
export interface Place {
  readonly root: string;
  readonly environment: Environment;
  readonly store: Store;
  /** What was reported so far. */
  readonly events: Event[];
  path(...parts: readonly string[]): string;
  run<Options extends z.ZodObject, Result>(
    verb: Verb<Options, Result>,
    options: z.input<Options>,
    signal?: AbortSignal,
  ): Promise<Result>;
  /** Does something with what verbs work with. */
  within<T>(options: Partial<CommonOptions>, job: (workspace: Workspace) => Promise<T>): Promise<T>;
}

export async function place(
  files: Readonly<Record<string, Given>> = {},
  variables: Readonly<Record<string, string>> = {},
): Promise<Place> {
  // The mark of a workspace's root, so that nothing above it counts.
  const root = await contextDirectory({ 'nx.json': '{}', ...files });
  const events: Event[] = [];
  const environment: Environment = {
    cwd: root,
    variables: {
      HOME: join(root, '.home'),
      PATH: process.env.PATH,
      CLUSTER_IMAGE_STORE: join(root, '.store'),
      ...variables,
    },
  };
  const report = (event: Event): void => {
    events.push(event);
  };
  return {
    root,
    environment,
    store: openStore(join(root, '.store')),
    events,
    path: (...parts) => join(root, ...parts),
    run: (verb, options, signal) =>
      verb.run(
        verb.options.parse(options),
        environment,
        createContext({ report, ...(signal && { signal }) }),
      ),
    within: (options, job) =>
      withWorkspace(environment, commonOptions.parse(options), createContext({ report }), '.', job),
  };
}
