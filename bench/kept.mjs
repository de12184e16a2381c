/** @file Saved figures, so that an interrupted benchmark can continue. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

/**
 * Reads figures from a file, or computes them and writes the file.
 * @param path of the JSON file.
 * @param work computes the figures; called only if there is no file.
 */
export async function kept(path, work) {
  if (!existsSync(path)) {
    console.error(`${new Date().toISOString().slice(11, 19)} ${basename(path, ".json")}`);
    writeFileSync(path, JSON.stringify(await work(), null, 1));
  }
  return JSON.parse(readFileSync(path, "utf8"));
}
