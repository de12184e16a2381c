/**
 * @file Folders in memory in which inputs are written. They are removed when the process ends, also by a signal; those
 * of a process that was killed are removed by the next run.
 */

import { mkdirSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { sweepTemporaries, temporaryPath } from "../../src/temporary-files.ts";
import { SCRATCH } from "./paths.ts";

const folders = new Set<string>();

process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => process.exit(128 + constants.signals[signal]));
}

/** Removes what killed processes left. */
export function sweepScratch(): Promise<void> {
  return sweepTemporaries(SCRATCH);
}

/** Runs `use` with an empty folder, which is then removed. */
export async function withScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = temporaryPath(SCRATCH);
  folders.add(folder);
  mkdirSync(folder);
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    folders.delete(folder);
  }
}
