/**
 * @file What is in a folder, as digests: two folders with the same entries hold the same.
 */

import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { basename, join } from "node:path";

/** Digest of each file, and the kind of every other entry, by path within the folder; `.` is the folder itself. */
export type Snapshot = ReadonlyMap<string, string>;

/** What runs say about their own time and memory: the only bytes that differ between two equal runs. */
const OWN_FIGURES: Readonly<Record<string, RegExp>> = {
  "results.json": /"(?:elapsedMs|peakBytes)": ?\d+/g,
  "speed.json": /"digest":"[0-9a-f]{64}"|"measuredAtMs":\d+|"speed":\{[^}]*\}/g,
  "table.md": / [\d.]+ (?:ms|s|min) \| \d+ MiB \|$/gm,
};

/** What a file or folder holds; empty if it does not exist. */
export async function snapshotOf(path: string): Promise<Snapshot> {
  const found = new Map<string, string>();
  await collect(path, ".", found);
  return found;
}

async function collect(root: string, name: string, found: Map<string, string>): Promise<void> {
  const path = join(root, name);
  const entry = await lstat(path).catch(() => null);
  if (entry === null) return;
  if (entry.isSymbolicLink()) found.set(name, `link to ${await readlink(path)}`);
  else if (entry.isDirectory()) {
    found.set(name, "folder");
    for (const child of await readdir(path)) await collect(root, join(name, child), found);
  } else if (entry.isFile()) found.set(name, digestOf(path, await readFile(path)));
  else found.set(name, "neither file nor folder");
}

function digestOf(path: string, bytes: Buffer): string {
  const own = OWN_FIGURES[basename(path)];
  const compared = own === undefined ? bytes : bytes.toString("latin1").replaceAll(own, "");
  return createHash("sha256").update(compared).digest("hex");
}

/** The entries in which two folders differ, in words; empty if they hold the same. */
export function differences(found: Snapshot, expected: Snapshot): string[] {
  const names = [...new Set([...found.keys(), ...expected.keys()])].toSorted();
  return names.flatMap((name) => {
    const [has, should] = [found.get(name), expected.get(name)];
    if (has === should) return [];
    if (has === undefined) return [`${name} is missing`];
    return should === undefined ? [`${name} is too much`] : [`${name} differs`];
  });
}

/** Whether two folders hold the same. */
export function holdsSame(found: Snapshot, expected: Snapshot): boolean {
  return differences(found, expected).length === 0;
}

/** The entries of a folder within a larger snapshot, by path within that folder. */
export function partOf(whole: Snapshot, folder: string): Snapshot {
  const prefix = `${folder}/`;
  return new Map(
    [...whole].flatMap(([name, digest]): [string, string][] =>
      name === folder ? [[".", digest]] : name.startsWith(prefix) ? [[name.slice(prefix.length), digest]] : [],
    ),
  );
}
