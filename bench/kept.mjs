/** @file Figures of an interrupted measurement, so that it goes on where it stopped. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

/**
 * Figures from their file, or from the work that finds them, which then makes the file.
 * @param path JSON.
 */
export async function kept(path, work) {
  if (!existsSync(path)) {
    console.error(`${new Date().toISOString().slice(11, 19)} ${basename(path, ".json")}`);
    writeFileSync(path, JSON.stringify(await work(), null, 1));
  }
  return JSON.parse(readFileSync(path, "utf8"));
}
