/**
 * @file The folders in which stages keep what they have done so far, within a model's work folder. A name has the
 * stage, the key of the work, and the process that works on it. A folder of a living process is left alone; one whose
 * process has ended is taken over by renaming it, which only one process can.
 */

import { randomBytes } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { MARK_PATTERN, ownMark, processState } from "../process-mark.ts";
import { isAbandoned } from "../temporary-files.ts";

const FOLDER_NAME = new RegExp(`^partial-([a-z-]+)-([0-9a-f]{16})-(${MARK_PATTERN})-[0-9a-f]{8}$`);

/** Hex digits of a key in a name; the index in the folder holds all of it. */
const KEY_DIGITS = 16;

/** The folders that this process works on. */
const held = new Set<string>();

/** A folder of partial results that nobody works on. */
export interface FreeFolder {
  readonly path: string;
  /** Whether it holds results of the same key. */
  readonly isOwn: boolean;
  /** Whether it may be removed: its process has ended, or it is old and its process cannot be looked up from here. */
  readonly isAbandoned: boolean;
}

/** The folders of a stage that nobody works on. */
export async function listFreeFolders(workFolder: string, stage: string, key: string): Promise<readonly FreeFolder[]> {
  const folders: FreeFolder[] = [];
  for (const name of await readdir(workFolder).catch(() => [])) {
    const [, itsStage, itsKey, mark] = FOLDER_NAME.exec(name) ?? [];
    const path = join(workFolder, name);
    if (itsStage !== stage || mark === undefined || held.has(path)) continue;
    const isOwn = itsKey === key.slice(0, KEY_DIGITS);
    if (mark === ownMark()) folders.push({ path, isOwn, isAbandoned: true });
    else if (processState(mark) !== "running") folders.push({ path, isOwn, isAbandoned: await isAbandoned(path, mark) });
  }
  return folders;
}

/** A path for results of this process, held until it is released. Nothing is there yet. */
export function holdFolder(workFolder: string, stage: string, key: string): string {
  const name = `partial-${stage}-${key.slice(0, KEY_DIGITS)}-${ownMark()}-${randomBytes(4).toString("hex")}`;
  const path = join(workFolder, name);
  held.add(path);
  return path;
}

/** Takes a free folder over as `path`. @returns false if another process was faster. */
export async function takeFolder(free: string, path: string): Promise<boolean> {
  return rename(free, path).then(
    () => true,
    () => false,
  );
}

/** Lets go of a folder, so that a later run can take it over. */
export function releaseFolder(path: string): void {
  held.delete(path);
}

/** Removes a folder; if that fails it stays, in nobody's way. */
export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => undefined);
}
