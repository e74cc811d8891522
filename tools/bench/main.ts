// Measures this project against the tools that people use today, in one run, on the same bytes:
//
//     npm run bench -- [--part pipeline|serving|proxying|scale|memory|nx] [--rounds N] [--work DIR]
//
// Needs root and what tools/install-e2e-tools.sh installs; `--part scale` and `--part nx` need neither. Absolute
// figures are those of the machine; the ratios are what counts.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { memory } from './memory.ts';
import { nx } from './nx.ts';
import { pipeline } from './pipeline.ts';
import { proxying } from './proxying.ts';
import { scale } from './scale.ts';
import { serving } from './serving.ts';
import type { Finding } from './stopwatch.ts';

type Part = (rounds: number, work: string) => Promise<readonly Finding[]>;

const parts: Readonly<Record<string, Part>> = { pipeline, serving, proxying, scale, memory, nx };

const { values } = parseArgs({
  options: {
    part: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '3' },
    work: { type: 'string', default: tmpdir() },
  },
});
await mkdir(values.work, { recursive: true });
const findings: Finding[] = [];
for (const [name, part] of Object.entries(parts)) {
  if (values.part && !values.part.includes(name)) continue;
  console.log(`\n== ${name}`);
  const work = await mkdtemp(join(values.work, 'cluster-image-bench-'));
  try {
    findings.push(...(await part(Number(values.rounds), work)));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
console.log('\n| what | expected | measured |\n| --- | --- | --- |');
for (const { what, expected, measured } of findings) {
  console.log(`| ${what} | ${expected} | ${measured} |`);
}
