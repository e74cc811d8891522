import type { ExecutorContext } from '@nx/devkit';
import {
  type Context,
  type Environment,
  eventLine,
  OciError,
  printable,
  type Verb,
} from 'cluster-image';
import type { z } from 'zod';
import { hintsOf } from './hints.ts';

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
  return reported(() => runs(verb, given, context, prepare), context);
}

/** Runs a verb and prints what it did; whether all of it went well. Throws what the verb throws. */
export async function runs<Options extends z.ZodObject, Result>(
  verb: Verb<Options, Result>,
  given: unknown,
  context: ExecutorContext,
  prepare: () => Promise<void>,
): Promise<boolean> {
  const options = parsed(verb, given, taskOf(context));
  await prepare();
  const result = await verb.run(options, environmentOf(context), runContext());
  for (const line of verb.lines(result)) console.log(printable(line));
  return !(verb.failed?.(result) ?? false);
}

/**
 * The options of a verb; what else an executor has is left out. Throws USAGE, with the option that is wrong.
 *
 * @param task whose options they are
 */
export function parsed<Options extends z.ZodObject, Result>(
  verb: Verb<Options, Result>,
  given: unknown,
  { project, target }: Task,
): z.infer<Options> {
  const checked = verb.options.safeParse(given);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const said = [issue?.path.join('.'), issue?.message ?? 'invalid'].filter(Boolean).join(': ');
  throw new OciError('USAGE', `option of ${project}:${target}: ${said}`, {
    hint: `Targets have their options in project.json, package.json or nx.json; \`nx show project ${project}\` shows them all.`,
    cause: checked.error,
  });
}

/** A target of a project. */
export interface Task {
  readonly project: string;
  readonly target: string;
}

/** The task that an executor is run for. */
export function taskOf({ projectName = '', targetName = '' }: ExecutorContext): Task {
  return { project: projectName, target: targetName };
}

/** Does a job whose failure is printed rather than thrown: Nx would print a stack. */
export async function reported(
  job: () => Promise<boolean>,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  try {
    return { success: await job() };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    console.error(printable(`error: ${message}`));
    for (const hint of hintsOf(error, context)) console.error(printable(hint));
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
