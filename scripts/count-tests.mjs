/**
 * @file Adds up vitest's JSON reports and prints `N passed, N failed`, with exit code 1 after a failure. A missing
 * report, a suite that did not load and a step that failed without a failing test (the linter, for example) count as
 * failures.
 *
 * Usage: count-tests.mjs --failed-steps N REPORT.json…
 */

import { existsSync, readFileSync } from "node:fs";

const [, failedSteps, ...reports] = process.argv.slice(2);
const counts = { passed: 0, failed: 0 };
for (const path of reports) {
  if (!existsSync(path)) {
    console.log(`no report: ${path}`);
    counts.failed += 1;
    continue;
  }
  const { numPassedTests, numTotalTests, testResults } = JSON.parse(readFileSync(path, "utf8"));
  const unloaded = testResults.filter(
    ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
  ).length;
  counts.passed += numPassedTests;
  // A skipped test counts as a failure: no test here may be skipped.
  counts.failed += numTotalTests - numPassedTests + unloaded;
}
counts.failed = Math.max(counts.failed, Number(failedSteps));
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
