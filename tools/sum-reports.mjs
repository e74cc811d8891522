// Sums what Vitest's JSON reports say into the last line of CI. A report that is missing, or a step
// that failed without a failing test, counts as a failure of its own.
import { readFileSync } from 'node:fs';

const [status = '1', ...paths] = process.argv.slice(2);
let passed = 0;
let failed = 0;
for (const path of paths) {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8'));
    passed += report.numPassedTests;
    failed += report.numFailedTests;
    // A suite that failed before or after its tests has no failing test to show for it.
    const suites = report.testResults.filter(
      (suite) =>
        suite.status === 'failed' &&
        !suite.assertionResults.some((result) => result.status === 'failed'),
    );
    failed += suites.length;
    const idle = report.numTotalTests - report.numPassedTests - report.numFailedTests;
    if (idle > 0) console.log(`${path}: ${idle} tests did not run`);
  } catch (error) {
    console.log(`${path}: ${error instanceof Error ? error.message : error}`);
    failed += 1;
  }
}
if (status !== '0' && failed === 0) failed = 1;
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
