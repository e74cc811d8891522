import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { command, run } from '../../e2e/support/run.ts';
import { type LargeContext, largeContext } from './large-context.ts';
import { type Finding, median } from './stopwatch.ts';

/** How many images the contexts have, to show how time and memory grow. */
const sizes = [250, 500, 1000];

const nothing = 'node -e 0';
const steps = ['discover', 'lock --check', 'build'] as const;

interface Measured {
  readonly seconds: number;
  /** The most memory it had resident, in bytes. */
  readonly peak: number;
}

/**
 * What a change of nothing costs: discover, lock --check and build as processes of their own, with
 * everything in the store; beside a process that does nothing. Needs no other tools.
 */
export async function scale(rounds: number, work: string): Promise<readonly Finding[]> {
  const rows = new Map<string, Measured[]>();
  for (const images of sizes) {
    const root = join(work, `images-${images}`);
    await mkdir(root, { recursive: true });
    const made = await largeContext(root, images);
    console.log(`${images} images, ${made.references} references, ${made.files} manifest files`);
    await measure(argumentsOf('build', made), made);
    for (const name of [nothing, ...steps]) {
      const all = await repeated(rounds, () => measure(argumentsOf(name, made), made));
      rows.set(name, [...(rows.get(name) ?? []), middle(all)]);
    }
    await rm(root, { recursive: true });
  }
  print(rows);
  return findings(rows);
}

function argumentsOf(name: string, { context }: LargeContext): readonly string[] {
  if (name === nothing) return ['-e', '0'];
  const [verb = '', ...flags] = name.split(' ');
  return [command, verb, context, '--json', ...flags, ...(verb === 'build' ? ['-t', 'a:1'] : [])];
}

async function measure(args: readonly string[], { store }: LargeContext): Promise<Measured> {
  const started = performance.now();
  const env = { CLUSTER_IMAGE_STORE: store };
  const { code, peak, stderr } = await run(process.execPath, args, { env });
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}\n${stderr}`);
  return { seconds: (performance.now() - started) / 1000, peak };
}

async function repeated<T>(times: number, job: () => Promise<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for (let time = 0; time < times; time++) all.push(await job());
  return all;
}

function middle(all: readonly Measured[]): Measured {
  const seconds = median(all.map((one) => one.seconds));
  return { seconds, peak: Math.max(...all.map((one) => one.peak)) };
}

function print(rows: ReadonlyMap<string, readonly Measured[]>): void {
  const line = (name: string, cells: readonly string[]): void =>
    console.log([name.padEnd(14), ...cells.map((cell) => cell.padStart(20))].join(''));
  line(
    '',
    sizes.map((images) => `${images} images`),
  );
  for (const [name, all] of rows) {
    line(
      name,
      all.map(({ seconds, peak }) => `${seconds.toFixed(2)} s ${mebibytes(peak)}`),
    );
  }
}

function findings(rows: ReadonlyMap<string, readonly Measured[]>): readonly Finding[] {
  const at = (name: string, size: number): Measured =>
    rows.get(name)?.at(size) ?? { seconds: 0, peak: 0 };
  const together = (size: number): number =>
    steps.reduce((sum, name) => sum + at(name, size).seconds, 0);
  const peak = Math.max(...steps.map((name) => at(name, -1).peak));
  const growth = together(-1) / together(0);
  return [
    {
      what: 'discover of 2000 manifests',
      expected: '< 2 s',
      measured: `${at('discover', -1).seconds.toFixed(2)} s`,
    },
    {
      what: 'discover, lock --check and build of 1000 images, nothing changed',
      expected: '≤ 3 s',
      measured: `${together(-1).toFixed(2)} s`,
    },
    {
      what: 'four times the images take',
      expected: '≤ 4 times as long',
      measured: `${growth.toFixed(1)} times`,
    },
    {
      what: 'memory for 1000 images',
      expected: '≤ 256 MiB',
      measured: mebibytes(peak),
    },
  ];
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
