import type { ExecutorContext } from '@nx/devkit';
import { type Context, type Environment, eventLine, printable, type Verb } from 'cluster-image';
import type { z } from 'zod';

export interface ExecutorResult {
  readonly success: boolean;
}

/** What executors know of where they run: paths are relative to the workspace. */
export function environmentOf(context: ExecutorContext): Environment {
  return { cwd: context.root, variables: process.env };
}

/**
 * Runs a verb as an executor: plain lines on stdout, what happens meanwhile among them, and a failure
 * as its message and the next step.
 *
 * @param prepare what has to be done first, failing in the same way
 */
export async function runVerb<Options extends z.ZodObject, Result>(
  verb: Verb<Options, Result>,
  given: unknown,
  context: ExecutorContext,
  prepare: () => Promise<void> = async () => {},
): Promise<ExecutorResult> {
  return reported(async () => {
    await prepare();
    const options = parsed(verb, given);
    const result = await verb.run(options, environmentOf(context), runContext());
    for (const line of verb.lines(result)) console.log(printable(line));
    return !(verb.failed?.(result) ?? false);
  });
}

/** The options of a verb; what else an executor has is left out. */
export function parsed<Options extends z.ZodObject, Result>(
  verb: Verb<Options, Result>,
  given: unknown,
): z.infer<Options> {
  return verb.options.parse(given);
}

/** Does a job whose failure is printed rather than thrown: Nx would print a stack. */
export async function reported(job: () => Promise<boolean>): Promise<ExecutorResult> {
  try {
    return { success: await job() };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    console.error(printable(`error: ${message}`));
    if (error instanceof Error && 'hint' in error && typeof error.hint === 'string') {
      console.error(printable(error.hint));
    }
    return { success: false };
  }
}

/** Prints a line an event; work ends in good order when Nx asks for it. */
export function runContext(): Context {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => controller.abort());
  }
  // Nx 22 may be gone before its signals to continuous tasks are on their way.
  process.once('disconnect', () => controller.abort());
  return {
    report(event) {
      const line = eventLine(event);
      if (line !== undefined) console.log(printable(line));
    },
    signal: controller.signal,
    transfer: (job) => job(),
  };
}
