/**
 * @file Builds dist before any test, once per run.
 */

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Vitest's global setup. */
export function setup(): void {
  // Concurrent runs may share one build that the caller made.
  if (process.env["CUSPRUN_TEST_NO_BUILD"] === "1") return;
  const script = fileURLToPath(new URL("../scripts/build.mjs", import.meta.url));
  execFileSync(process.execPath, [script], { stdio: "inherit" });
}
