import type { Context, ErrorCode } from '@cluster-image/oci';
import type { z } from 'zod';
import type { Environment } from '../environment.ts';

/**
 * Something the command and the executors can do. Flags, help, Nx schemas and JSON schemas are all
 * made from `options`; a verb returns what it found or did and prints nothing.
 */
export interface Verb<Options extends z.ZodObject, Result> {
  readonly name: string;
  readonly summary: string;
  /** Options that are also given by position, in order; the last one may be a list that takes the rest. */
  readonly positional: readonly (keyof z.infer<Options> & string)[];
  readonly options: Options;
  /** The option that takes all there is after `--`. */
  readonly rest?: keyof z.infer<Options> & string;
  /** One-letter flags. */
  readonly short?: Readonly<Record<string, keyof z.infer<Options> & string>>;
  /** How long an interrupted run may take to put things in order, in milliseconds; two seconds by default. */
  readonly grace?: number;
  run(options: z.infer<Options>, environment: Environment, context: Context): Promise<Result>;
  /** The result for people. */
  lines(result: Result, options?: z.infer<Options>): readonly string[];
  /** Whether some of it failed, although there is a result to show. */
  failed?(result: Result, options?: z.infer<Options>): boolean;
  /** What kind of failure that then is; SOME_FAILED by default. */
  readonly failure?: ErrorCode;
  /** What the process is to exit with; what follows from the failure by default. */
  exitCode?(result: Result): number;
}

/** A verb whose options and result nobody needs to know, as the table holds it. */
export interface AnyVerb {
  readonly name: string;
  readonly summary: string;
  readonly positional: readonly string[];
  readonly rest?: string;
  readonly options: z.ZodObject;
  readonly short?: Readonly<Record<string, string>>;
  readonly grace?: number;
  /** Checks the options, runs the verb, and tells its result in both ways. */
  call(options: unknown, environment: Environment, context: Context): Promise<Called>;
}

export interface Called {
  readonly result: unknown;
  readonly lines: readonly string[];
  /** What kind of failure it is where some of it failed. */
  readonly failure: ErrorCode | undefined;
  readonly exitCode?: number | undefined;
}

export function callable<Options extends z.ZodObject, Result>(
  verb: Verb<Options, Result>,
): AnyVerb {
  return {
    ...verb,
    async call(given, environment, context) {
      const options = verb.options.parse(given);
      const result = await verb.run(options, environment, context);
      const failed = verb.failed?.(result, options) ?? false;
      const failure = failed ? (verb.failure ?? 'SOME_FAILED') : undefined;
      const exitCode = verb.exitCode?.(result);
      return { result, lines: verb.lines(result, options), failure, exitCode };
    },
  };
}
