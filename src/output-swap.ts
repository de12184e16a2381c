/**
 * @file The moment in which a complete output takes its place. Renames only: what was there is moved aside, the new one
 * is moved in. A run that is killed in between is finished by the next one, see `finishSwap`.
 */

import { lstat, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CusprunError } from "./errors.ts";
import { statOrNull, syncFolder, syncTree } from "./folders.ts";
import { isJsonObject, parseJson } from "./json.ts";
import { writtenEntries } from "./written-files.ts";

/** Names in a stage. */
export const NEW_NAME = "new";
export const OLD_NAME = "old";
export const SWAP_NAME = "swap.json";
export const SWAP_PART_NAME = "swap.json.part";

/**
 * Moves a new file or folder to a place next to the stage where nothing is, or a file or an empty folder.
 * @throws the system's errors; then nothing has changed.
 */
export async function moveIn(stage: string, target: string): Promise<void> {
  await rename(join(stage, NEW_NAME), target);
  await syncFolder(dirname(target));
}

/**
 * Replaces a folder next to the stage by the new one.
 * @param check throws if the old folder must not be replaced after all. It has been moved aside by then, so that nobody
 *   who knows it by its path can change it any more.
 */
export async function replaceFolder(stage: string, target: string, check: (old: string) => Promise<void>): Promise<void> {
  const old = join(stage, OLD_NAME);
  await writeSwap(stage, basename(target));
  await rename(target, old);
  try {
    await check(old);
    await rename(join(stage, NEW_NAME), target);
  } catch (error) {
    await rename(old, target);
    throw error;
  }
  await syncFolder(dirname(target));
}

/** Fills a folder that the stage is in: moves what was written there earlier aside, and each new entry in. */
export async function fillFolder(stage: string): Promise<void> {
  await writeSwap(stage, null);
  await finishSwap(stage);
}

/**
 * Notes that the new file of a stage belongs to another new file, its leader, and takes its place right after it. If
 * the process is killed between the two, the next run finishes it.
 * @param target path of the file's own place, next to the stage.
 * @param leader path of the leader in its own stage.
 * @param place path of the leader's place.
 */
export async function writeFollower(stage: string, target: string, leader: string, place: string): Promise<void> {
  const [id, replaces] = [await identityOf(leader), await identityOf(target)];
  await writeSwap(stage, basename(target), { follows: { path: resolve(place), id }, replaces });
}

/**
 * @param name of the output next to the stage; null if the stage is in it.
 * @param follower what `finishFollowing` has to know.
 */
async function writeSwap(stage: string, name: string | null, follower: Partial<Follower> = {}): Promise<void> {
  const path = join(stage, SWAP_NAME);
  const part = join(stage, SWAP_PART_NAME);
  await writeFile(part, JSON.stringify({ name, ...follower }));
  await syncTree(part);
  await rename(part, path);
  await syncFolder(stage);
}

/**
 * Finishes a swap that was interrupted: the new output is complete, so it takes its place. Does nothing if none was
 * begun.
 */
export async function finishSwap(stage: string): Promise<void> {
  const swap = await readSwap(stage);
  if (swap === null || (await statOrNull(join(stage, NEW_NAME))) === null) return;
  if (swap.name === null) return finishFilling(stage);
  const target = join(dirname(stage), swap.name);
  if (swap.follower !== null) return finishFollowing(stage, target, swap.follower);
  // Only between its two renames is a replaced folder missing.
  if ((await statOrNull(join(stage, OLD_NAME))) === null || (await statOrNull(target)) !== null) return;
  await moveIn(stage, target);
}

/**
 * Checks that no swap is left unfinished, so that nothing in the stage is needed any more.
 * @throws CusprunError `OUTPUT_EXISTS`: what was replaced is still aside, because something else took its place.
 */
export async function refuseUnfinished(stage: string): Promise<void> {
  const [isReplaced, incoming] = [await statOrNull(join(stage, OLD_NAME)), await readdir(join(stage, NEW_NAME)).catch(() => [])];
  if (isReplaced === null || incoming.length === 0) return;
  throw new CusprunError("OUTPUT_EXISTS", {
    where: stage,
    found: `an output, '${NEW_NAME}', that could not take the place of '${OLD_NAME}'`,
    expected: "nothing unfinished",
    remedy: `Make its place free and run again, or move '${OLD_NAME}' elsewhere and remove this folder`,
  });
}

/** Every step may have been taken before. The lists of files go last: they tell which entries belong to which. */
async function finishFilling(stage: string): Promise<void> {
  const folder = dirname(stage);
  const [news, old] = [join(stage, NEW_NAME), join(stage, OLD_NAME)];
  const incoming = await writtenEntries(news);
  if (incoming === null) return;
  if ((await writtenEntries(old)) === null) {
    await mkdir(old).catch(() => undefined);
    for (const name of (await writtenEntries(folder)) ?? []) await renameIfThere(join(folder, name), join(old, name));
    await syncFolder(old);
  }
  const present = await readdir(news);
  for (const name of incoming.filter((each) => present.includes(each))) {
    await refuseIfThere(join(folder, name));
    await rename(join(news, name), join(folder, name));
  }
  await syncFolder(folder);
}

/**
 * Moves a file in whose leader is in its place already, unless its own place has changed since. If the leader is not
 * there, the output was never begun.
 */
async function finishFollowing(stage: string, target: string, { follows, replaces }: Follower): Promise<void> {
  if ((await identityOf(follows.path)) !== follows.id || (await identityOf(target)) !== replaces) return;
  await moveIn(stage, target);
}

/** A file's number and the time it was written, neither of which a rename changes; null if nothing is there. */
async function identityOf(path: string): Promise<string | null> {
  const found = await statOrNull(path);
  return found === null ? null : `${found.dev} ${found.ino} ${found.size} ${found.mtimeMs}`;
}

/** What was written earlier has been moved aside: anything that is there now is somebody else's. */
async function refuseIfThere(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return;
  throw new CusprunError("OUTPUT_EXISTS", {
    where: path,
    found: "something that was put there while an output was taking its place",
    expected: "nothing",
    remedy: "Move it elsewhere, then run again",
  });
}

async function renameIfThere(from: string, to: string): Promise<void> {
  if ((await statOrNull(from)) !== null) await rename(from, to);
}

/** A new file that takes its place after another one. */
interface Follower {
  readonly follows: { readonly path: string; readonly id: string | null };
  /** The file that it replaces. */
  readonly replaces: string | null;
}

interface Swap {
  readonly name: string | null;
  readonly follower: Follower | null;
}

async function readSwap(stage: string): Promise<Swap | null> {
  try {
    const swap = parseJson(await readFile(join(stage, SWAP_NAME), "utf8"));
    if (!isJsonObject(swap)) return null;
    const { name, follows } = swap;
    const isFollower = isJsonObject(follows) && typeof follows["path"] === "string";
    const follower = isFollower ? (swap as unknown as Follower) : null;
    if (name === null) return { name, follower };
    const isName = typeof name === "string" && basename(name) === name && name !== "" && name !== "." && name !== "..";
    return isName ? { name, follower } : null;
  } catch {
    return null;
  }
}
