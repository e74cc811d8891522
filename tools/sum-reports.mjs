// Sums what Vitest's JSON reports say into the last line of CI, and names each failure before it: of
// a long output the end is what people see. A report that is missing, or a step that failed without
// a failing test, counts as a failure of its own.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

/** Lines of a failure's message that are shown: enough for what was expected and a line of ours. */
const lineLimit = 20;

function tell(file, name, messages) {
  console.log(`failed: ${[relative('', file), name].filter(Boolean).join(' > ')}`);
  for (const line of messages.join('\n').split('\n').slice(0, lineLimit)) console.log(`  ${line}`);
}

const [status = '1', ...paths] = process.argv.slice(2);
let passed = 0;
let failed = 0;
for (const path of paths) {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8'));
    passed += report.numPassedTests;
    failed += report.numFailedTests;
    for (const suite of report.testResults) {
      const failures = suite.assertionResults.filter(({ status }) => status === 'failed');
      for (const { fullName, failureMessages } of failures) {
        tell(suite.name, fullName, failureMessages);
      }
      // A suite that failed before or after its tests has no failing test to show for it.
      if (suite.status !== 'failed' || failures.length > 0) continue;
      tell(suite.name, '', [suite.message]);
      failed += 1;
    }
    const idle = report.numTotalTests - report.numPassedTests - report.numFailedTests;
    if (idle > 0) console.log(`${path}: ${idle} tests did not run`);
  } catch (error) {
    console.log(`${path}: ${error instanceof Error ? error.message : error}`);
    failed += 1;
  }
}
if (status !== '0' && failed === 0) {
  tell('', 'a step in which no test failed', ['Where is said above: == failed.']);
  failed = 1;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
