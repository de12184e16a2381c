/**
 * @file Outputs as trees of small files.
 */

import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { withOutputFolder, type FolderPlaceOptions } from "../../src/output-place.ts";

/** Everything below a folder with the text of files, sorted. */
export async function tree(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of (await readdir(folder, { recursive: true })).toSorted()) {
    const path = join(folder, name);
    if ((await stat(path)).isFile()) found[name] = await readFile(path, "utf8");
  }
  return found;
}

/** The tree of an output without the list of its files. */
export async function outputTree(folder: string): Promise<Record<string, string>> {
  const { "cusprun-files.json": list, ...rest } = await tree(folder);
  expect(JSON.parse(list ?? "")).toMatchObject({ format: "cusprun-files-1" });
  return rest;
}

/** Writes files into a folder. */
export const filling =
  (files: Readonly<Record<string, string>>) =>
  async (folder: string): Promise<void> => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(join(folder, name, ".."), { recursive: true });
      await writeFile(join(folder, name), text);
    }
  };

/** Writes an output with these files. */
export const writeOutput = (
  path: string,
  files: Readonly<Record<string, string>>,
  options: FolderPlaceOptions = {},
): Promise<void> => withOutputFolder(path, options, (place) => place.write(filling(files)));
