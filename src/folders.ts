/**
 * @file Folders: making them with their parents, removing those that were made, and writing files and folders through
 * to the disk.
 */

import type { Stats } from "node:fs";
import { mkdir, open, readdir, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { systemCodeOf } from "./system-errors.ts";

/** What systems answer that cannot write a folder's entries through to the disk, because they do so anyway. */
const FOLDER_SYNC_UNSUPPORTED: ReadonlySet<string> = new Set(["EACCES", "EBADF", "EINVAL", "EISDIR", "ENOTSUP", "EPERM"]);

/**
 * Makes a folder and its missing parents. Not by Node's own `recursive`: below /proc, that of Node 20 never returns.
 * @returns the folders that were made, outermost first.
 * @throws the system's error; then no folder was made.
 */
export async function makeFolders(path: string): Promise<readonly string[]> {
  const missing: string[] = [];
  let folder = resolve(path);
  for (let found = await statOrNull(folder); found === null; found = await statOrNull(folder)) {
    missing.push(folder);
    folder = dirname(folder);
  }
  await readdir(folder); // Throws if it is a file.
  const made: string[] = [];
  try {
    for (const each of missing.toReversed()) if (await makeFolder(each)) made.push(each);
  } catch (error) {
    await removeFolders(made);
    throw error;
  }
  return made;
}

/** Makes one folder. @returns false if another process was faster. */
async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST" && (await statOrNull(path))?.isDirectory() === true) return false;
    throw error;
  }
}

/** Removes folders that `makeFolders` made, as far as they are empty. */
export async function removeFolders(made: readonly string[]): Promise<void> {
  for (const folder of made.toReversed()) await rmdir(folder).catch(() => undefined);
}

/** What a path leads to, or null if nothing is there. @throws the system's other errors. */
export async function statOrNull(path: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** Whether a path leads to something; false if that cannot be found out. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Writes a file, or a folder with all that it holds, through to the disk. */
export async function syncTree(path: string): Promise<void> {
  const found = await stat(path);
  if (!found.isDirectory()) return syncFile(path);
  for (const name of await readdir(path)) await syncTree(join(path, name));
  await syncFolder(path);
}

async function syncFile(path: string): Promise<void> {
  // Windows writes through only what is open for writing.
  const file = await open(path, process.platform === "win32" ? "r+" : "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Writes the names in a folder through to the disk, where the system can. */
export async function syncFolder(path: string): Promise<void> {
  try {
    await syncFile(path);
  } catch (error) {
    if (!FOLDER_SYNC_UNSUPPORTED.has(systemCodeOf(error) ?? "")) throw error;
  }
}
