/**
 * @file Paths that exist and are nearly the same as one that does not: the likely meaning of a mistyped path.
 */

import { readdir } from "node:fs/promises";
import { join, parse, sep } from "node:path";
import { nearestName } from "../suggest.ts";

/** Limit of the entries of a folder that are compared. */
const MAX_ENTRIES = 2000;

/**
 * An existing path with one or more of its names corrected; null if there is none. Numbers are not taken for mistakes:
 * models of different sizes have similar names.
 */
export async function nearPath(path: string): Promise<string | null> {
  const { root } = parse(path);
  const names = path
    .slice(root.length)
    .split(sep)
    .filter((name) => name !== "");
  let found = root;
  let isCorrected = false;
  for (const name of names) {
    const entries = await entriesOf(found === "" ? "." : found);
    if (name !== "." && name !== ".." && !entries.includes(name)) {
      const near = nearestName(
        name,
        entries.slice(0, MAX_ENTRIES).filter((entry) => digitsOf(entry) === digitsOf(name)),
      );
      if (near === null) return null;
      isCorrected = true;
      found = join(found, near);
    } else {
      found = join(found, name);
    }
  }
  return isCorrected ? found : null;
}

async function entriesOf(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

function digitsOf(name: string): string {
  return name.replace(/\D+/g, " ").trim();
}
