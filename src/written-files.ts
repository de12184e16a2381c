/**
 * @file The list of the files that a folder was written with: the mark by which the program recognises a folder as its
 * own. Only such a folder is ever replaced, and only while it holds nothing else.
 */

import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256OfFile } from "./file-digest.ts";
import { isJsonObject, parseJsonBytes, type JsonObject } from "./json.ts";

/** Name of the list in a folder. */
export const WRITTEN_FILES_NAME = "cusprun-files.json";

const FORMAT = "cusprun-files-1";

/** Files up to this size are hashed as well: people edit some, such as the card. 1 MiB takes a millisecond. */
const MAX_HASHED_BYTES = 2 ** 20;

/** Far more than the list of any expert needs. */
const MAX_LIST_BYTES = 2 ** 24;

/** Names of a message. */
const MAX_NAMES = 4;

/** A file as it was written. */
interface WrittenFile {
  readonly bytes: number;
  /** Absent for large files. */
  readonly sha256?: string;
}

/** The list as JSON text, for the files at these paths in a folder. */
export async function listWrittenFiles(folder: string, paths: readonly string[]): Promise<string> {
  const files: Record<string, WrittenFile> = {};
  for (const path of paths.toSorted()) files[path] = await describeFile(join(folder, path));
  return `${JSON.stringify({ format: FORMAT, files }, null, 1)}\n`;
}

/** The paths of all files below a folder, with slashes. */
export async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const paths: string[] = [];
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const path = `${prefix}${entry.name}`;
    paths.push(...(entry.isDirectory() ? await filesBelow(folder, `${path}/`) : [path]));
  }
  return paths;
}

async function describeFile(path: string): Promise<WrittenFile> {
  const { size: bytes } = await lstat(path);
  if (bytes > MAX_HASHED_BYTES) return { bytes };
  return { bytes, sha256: await sha256OfFile(path) };
}

/**
 * What a folder holds that was not written with it, or was changed since: some of the names, with a reason.
 * @param ignored names in the folder that do not count.
 * @returns null if it was not written by this program, an empty list if it holds nothing else. Files that were removed
 *   since are not missed.
 */
export async function foreignFiles(folder: string, ignored: readonly string[] = []): Promise<readonly string[] | null> {
  const listed = await readWrittenFiles(folder);
  return listed === null ? null : foreignBelow(folder, "", listed, new Set([WRITTEN_FILES_NAME, ...ignored]));
}

async function foreignBelow(
  folder: string,
  prefix: string,
  listed: ReadonlyMap<string, WrittenFile>,
  ignored: ReadonlySet<string>,
): Promise<string[]> {
  const foreign: string[] = [];
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    if (foreign.length > MAX_NAMES) break;
    const path = `${prefix}${entry.name}`;
    if (ignored.has(path)) continue;
    if (entry.isDirectory()) {
      // A folder that holds no listed file is not searched: it may be large.
      const isOurs = [...listed.keys()].some((name) => name.startsWith(`${path}/`));
      foreign.push(...(isOurs ? await foreignBelow(folder, `${path}/`, listed, ignored) : [`${path}/`]));
      continue;
    }
    const written = listed.get(path);
    if (written === undefined || !entry.isFile()) foreign.push(path);
    else if (await hasChanged(join(folder, path), written)) foreign.push(`${path} (changed since)`);
  }
  return foreign;
}

async function hasChanged(path: string, written: WrittenFile): Promise<boolean> {
  const { size } = await lstat(path);
  if (size !== written.bytes) return true;
  return written.sha256 !== undefined && (await describeFile(path)).sha256 !== written.sha256;
}

/** The names at the top of a folder that this program wrote, its list of files last; null for another folder. */
export async function writtenEntries(folder: string): Promise<readonly string[] | null> {
  const listed = await readWrittenFiles(folder);
  return listed === null ? null : [...new Set([...listed.keys()].map((path) => path.split("/")[0]!)), WRITTEN_FILES_NAME];
}

/** Null if there is no list, or one that cannot be one of ours. */
async function readWrittenFiles(folder: string): Promise<ReadonlyMap<string, WrittenFile> | null> {
  const path = join(folder, WRITTEN_FILES_NAME);
  try {
    const found = await lstat(path);
    if (!found.isFile() || found.size > MAX_LIST_BYTES) return null;
    const list = parseJsonBytes(await readFile(path));
    if (!isJsonObject(list) || list["format"] !== FORMAT || !isJsonObject(list["files"])) return null;
    const files = Object.entries(list["files"]);
    return files.every(([name, file]) => isPlain(name) && isWrittenFile(file)) ? new Map(files as [string, WrittenFile][]) : null;
  } catch {
    return null;
  }
}

/** Whether a path stays in its folder. */
function isPlain(path: string): boolean {
  return path.split("/").every((name) => name !== "" && name !== "." && name !== ".." && !/[\\\0]/.test(name));
}

function isWrittenFile(file: unknown): file is JsonObject {
  if (!isJsonObject(file) || !Number.isSafeInteger(file["bytes"])) return false;
  return file["sha256"] === undefined || typeof file["sha256"] === "string";
}

/** Names for a message: the first of them. */
export function someOf(names: readonly string[]): string {
  return names.length > MAX_NAMES ? `${names.slice(0, MAX_NAMES).join(", ")} and more` : names.join(", ");
}
