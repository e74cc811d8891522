import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';

const program = fileURLToPath(new URL('../sum-reports.mjs', import.meta.url));

const passed = { fullName: 'a passes', status: 'passed', failureMessages: [] };
const failed = {
  fullName: 'a fails',
  status: 'failed',
  failureMessages: ['expected 1 to be 2\nat x'],
};

function suite(...results: readonly { readonly status: string }[]) {
  const status = results.some(({ status }) => status === 'failed') ? 'failed' : 'passed';
  return { name: 'a.test.ts', status, message: '', assertionResults: results };
}

interface Suite extends ReturnType<typeof suite> {}

/** What is printed of reports of these suites, and the exit code. */
async function summed(status: string, ...reports: readonly (readonly Suite[])[]) {
  const cwd = await temporaryDirectory();
  const paths = reports.map((_, at) => `${at}.json`);
  for (const [at, testResults] of reports.entries()) {
    const results = testResults.flatMap(({ assertionResults }) => assertionResults);
    const count = (wanted: string) => results.filter(({ status }) => status === wanted).length;
    const report = {
      numTotalTests: results.length,
      numPassedTests: count('passed'),
      numFailedTests: count('failed'),
      testResults,
    };
    await writeFile(join(cwd, paths[at] ?? ''), JSON.stringify(report));
  }
  const ran = spawnSync(process.execPath, [program, status, ...paths], { cwd, encoding: 'utf8' });
  return [ran.status, ran.stdout];
}

describe('the last line of CI', () => {
  test('sums all reports', async () => {
    const both = await summed('0', [suite(passed, passed)], [suite(passed)]);
    expect(both).toEqual([0, '3 passed, 0 failed\n']);
  });

  test('comes after what failed, and with what', async () => {
    expect(await summed('1', [suite(passed, failed)], [suite(passed)])).toEqual([
      1,
      'failed: a.test.ts > a fails\n  expected 1 to be 2\n  at x\n2 passed, 1 failed\n',
    ]);
  });

  test('counts a suite that could not begin', async () => {
    const broken = { ...suite(), status: 'failed', message: 'no such module' };
    const told = 'failed: a.test.ts\n  no such module\n0 passed, 1 failed\n';
    expect(await summed('1', [broken])).toEqual([1, told]);
  });

  test('counts a step that failed with all its tests passing', async () => {
    const told = 'failed: a step in which no test failed\n  Where is said above: == failed.\n';
    expect(await summed('1', [suite(passed)])).toEqual([1, `${told}1 passed, 1 failed\n`]);
  });

  test('counts a report that is not there', () => {
    const ran = spawnSync(process.execPath, [program, '0', '/none.json'], { encoding: 'utf8' });
    expect([ran.status, ran.stdout]).toEqual([
      1,
      expect.stringMatching(/^\/none\.json: ENOENT.*\n0 passed, 1 failed\n$/),
    ]);
  });

  test('tells what did not run', async () => {
    const skipped = { ...passed, status: 'skipped' };
    const told = '0.json: 1 tests did not run\n1 passed, 0 failed\n';
    expect(await summed('0', [suite(passed, skipped)])).toEqual([0, told]);
  });
});
