/**
 * @file Four projects: `unit` runs from the sources; `command` runs the compiled command; `real` reads the real models
 * (downloaded once) and ../shared; `interop` loads what cusprun writes in stock runtimes (variables: CONTRIBUTING.md,
 * "Tests").
 */

import { defineConfig } from "vitest/config";

const COMMAND_TESTS = "tests/{cli,examples,faults,fuzz}/**/*.test.ts";
const REAL_TESTS = "tests/real/**/*.test.ts";
const INTEROP_TESTS = "tests/interop/**/*.test.ts";
const compiled = { globalSetup: ["tests/build-dist.ts"], fileParallelism: false };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["tests/**/*.test.ts"],
          exclude: [COMMAND_TESTS, REAL_TESTS, INTEROP_TESTS],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      { test: { ...compiled, name: "command", include: [COMMAND_TESTS], testTimeout: 120_000, hookTimeout: 120_000 } },
      { test: { name: "real", include: [REAL_TESTS], fileParallelism: false, testTimeout: 600_000, hookTimeout: 600_000 } },
      { test: { ...compiled, name: "interop", include: [INTEROP_TESTS], testTimeout: 600_000, hookTimeout: 600_000 } },
    ],
  },
});
