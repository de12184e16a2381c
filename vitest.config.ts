/**
 * @file Four projects: `unit` runs from the sources, `command` spawns the compiled command, `real` reads the real models (and downloads
 * them once), `interop` loads what cusprun writes in stock runtimes and needs CUSPRUN_PYTHON
 * and CUSPRUN_LLAMA_CPP.
 */

import { defineConfig } from "vitest/config";

const COMMAND_TESTS = "tests/{cli,examples}/**/*.test.ts";
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
        },
      },
      { test: { ...compiled, name: "command", include: [COMMAND_TESTS], testTimeout: 120_000 } },
      { test: { name: "real", include: [REAL_TESTS], fileParallelism: false, testTimeout: 600_000, hookTimeout: 600_000 } },
      { test: { ...compiled, name: "interop", include: [INTEROP_TESTS], testTimeout: 600_000 } },
    ],
  },
});
