import { createContext, OciError } from '@cluster-image/oci';
import { exitCode, exitCodeOf } from '../exit-code.ts';
import { printable } from '../printable.ts';
import { verbs } from '../verbs/table.ts';
import type { AnyVerb } from '../verbs/verb.ts';
import { parseFlags } from './flags.ts';
import { overviewHelp, verbHelp } from './help.ts';
import { nearest } from './nearest.ts';
import { reporter } from './reporter.ts';

/** How long an interrupted run may take to put things in order where the verb does not say, in milliseconds. */
const defaultGrace = 2_000;

/** Runs the command with these arguments and returns what the process is to exit with. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    print(overviewHelp(await Promise.all([...verbs.values()].map((load) => load()))));
    return name === undefined ? 2 : 0;
  }
  try {
    if (name === '--version') {
      print(`cluster-image ${await (await import('./version.ts')).version()}`);
      return 0;
    }
    const load = verbs.get(name);
    if (!load) throw unknownVerb(name);
    return await run(await load(), rest);
  } catch (error) {
    complain(error);
    return exitCode(error);
  }
}

function unknownVerb(name: string): OciError {
  const meant = nearest(name, [...verbs.keys()]);
  const perhaps = meant === undefined ? '' : `; ${meant} is meant, perhaps`;
  return new OciError('USAGE', `there is no verb ${name}${perhaps}`, {
    hint: 'See cluster-image --help.',
  });
}

async function run(verb: AnyVerb, args: readonly string[]): Promise<number> {
  const { options, json, help } = parseFlags(verb, args);
  if (help) {
    print(verbHelp(verb));
    return 0;
  }
  const environment = { cwd: process.cwd(), variables: process.env };
  const progress = await reporter(process.stderr);
  const context = createContext({ report: progress.report, signal: interruption(verb.grace) });
  try {
    const { result, lines, failure, exitCode } = await verb.call(options, environment, context);
    progress.end();
    // Printable text in a JSON document is the same document, for its strings may be written so.
    if (json) print(printable(JSON.stringify(result, undefined, 2)));
    else for (const line of lines) print(printable(line));
    return exitCode ?? (failure === undefined ? 0 : exitCodeOf(failure));
  } finally {
    progress.end();
  }
}

/**
 * Fires when the process is asked to stop, with the name of the signal as its reason. The second time,
 * or if it takes too long, it stops at once.
 */
function interruption(grace = defaultGrace): AbortSignal {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(signal);
    if (grace < Number.POSITIVE_INFINITY) setTimeout(() => process.exit(130), grace).unref();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  process.on('SIGHUP', stop);
  return controller.signal;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function complain(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  const unexpected =
    error instanceof Error && !(error instanceof OciError) ? `\n${error.stack}` : '';
  process.stderr.write(`${printable(`error: ${message}${unexpected}`)}\n`);
  if (error instanceof OciError && error.hint) process.stderr.write(`${printable(error.hint)}\n`);
}
