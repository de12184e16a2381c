/**
 * @file Cleans up the user's cache: what ended processes left, work folders that no run will use again, and those that
 * were not used for longest, down to a limit. Models stay. Nothing that cusprun did not write is removed, and no folder
 * that a running process uses (`work-use.ts`).
 */

import { readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cusprunCacheDir } from "../checkpoint/hub/catalog.ts";
import { hubCacheFolder } from "../checkpoint/hub/environment.ts";
import { asReadError } from "../system-errors.ts";
import { sweepTemporaries, temporariesIn, temporaryPath } from "../temporary-files.ts";
import { type CachedWork, type CacheEntry, isResultName, listCache } from "./cache.ts";
import { cacheLimitBytes } from "./cache-limit.ts";
import { defaultWorkRoot } from "./work-folder.ts";
import { MODEL_FILE } from "./work-model.ts";

/** What is removed. */
export interface PruneCacheOptions {
  /** Most bytes of all work folders together. Default: `cacheLimitBytes()`. */
  readonly limitBytes?: number;
  /** Whether every work folder is removed. */
  readonly all?: boolean;
  /** Whether a work folder that no run will use again stays as long as there is room for it. */
  readonly keepsUnusable?: boolean;
  /** Whether everything stays, and is only told. */
  readonly dryRun?: boolean;
}

/** Something that is removed, and why. */
export type RemovedEntry = CacheEntry & { readonly reason: string };

/** The contents of the cache. */
export interface CacheReport {
  readonly folder: string;
  /** Folder of the models from the hub, which all Hugging Face tools share and `hf cache` manages. */
  readonly hubFolder: string;
  /** What is there, after what was removed. */
  readonly entries: readonly CacheEntry[];
  /** Of all entries together. */
  readonly bytes: number;
  /** Of the work folders. */
  readonly workBytes: number;
  /** Most bytes of the work folders, see `cacheLimitBytes`. */
  readonly limitBytes: number;
  /** What was removed, or would be; null if the cache was only listed. */
  readonly pruned: { readonly dryRun: boolean; readonly removed: readonly RemovedEntry[]; readonly bytes: number } | null;
}

/**
 * Lists what the cache holds.
 * @throws CusprunError `USAGE` for a wrong `CUSPRUN_CACHE_LIMIT`; the errors of `listCache`.
 */
export async function describeCache(): Promise<CacheReport> {
  return reportOf(await listCache(), cacheLimitBytes(), null);
}

/**
 * Cleans up the cache.
 * @throws CusprunError `OUTPUT_UNWRITABLE` for what cannot be removed; as `describeCache`.
 */
export async function pruneCache(options: PruneCacheOptions = {}): Promise<CacheReport> {
  const { limitBytes = cacheLimitBytes(), dryRun = false } = options;
  const entries = await listCache();
  const planned = planRemovals(entries, { ...options, limitBytes });
  const removed = dryRun ? planned : await removeAll(planned);
  const paths = new Set(dryRun ? [] : removed.map(({ path }) => path));
  const left = entries.filter(({ path }) => !paths.has(path));
  return reportOf(left, limitBytes, { dryRun, removed, bytes: bytesOf(removed) });
}

function reportOf(entries: readonly CacheEntry[], limitBytes: number, pruned: CacheReport["pruned"]): CacheReport {
  const workBytes = bytesOf(entries.filter(({ kind }) => kind === "work"));
  const folders = { folder: cusprunCacheDir(), hubFolder: hubCacheFolder() };
  return { ...folders, entries, bytes: bytesOf(entries), workBytes, limitBytes, pruned };
}

function bytesOf(entries: readonly CacheEntry[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** What goes, in order: leftovers, unusable folders, the others from the least recently used. */
function planRemovals(
  entries: readonly CacheEntry[],
  { limitBytes, all = false, keepsUnusable = false }: PruneCacheOptions & { readonly limitBytes: number },
): readonly RemovedEntry[] {
  const removed: RemovedEntry[] = entries
    .filter(({ kind }) => kind === "leftover")
    .map((entry) => ({ ...entry, reason: "left by a process that has ended" }));
  const folders = entries.filter((entry) => entry.kind === "work");
  let rest = bytesOf(folders);
  for (const folder of folders.filter(({ inUse }) => !inUse).toSorted(compareWorth)) {
    const above = rest > limitBytes ? "not used for longest" : null;
    const reason = all ? "all work folders go" : ((keepsUnusable ? null : folder.unusable) ?? above);
    if (reason === null) continue;
    removed.push({ ...folder, reason });
    rest -= folder.bytes;
  }
  return removed;
}

function compareWorth(a: CachedWork, b: CachedWork): number {
  if ((a.unusable === null) !== (b.unusable === null)) return a.unusable === null ? 1 : -1;
  return a.lastUsed < b.lastUsed ? -1 : 1;
}

/** @returns what was removed: not a folder that a process has begun to use since it was listed. */
async function removeAll(planned: readonly RemovedEntry[]): Promise<readonly RemovedEntry[]> {
  const removed: RemovedEntry[] = [];
  for (const entry of planned.filter(({ kind }) => kind === "leftover")) {
    await orRemovalError(entry.path, () => rm(entry.path, { recursive: true, force: true }));
    removed.push(entry);
  }
  const folders = planned.filter(({ kind }) => kind === "work");
  if (folders.length === 0) return removed;
  // Shows that the cache is being pruned.
  const sign = temporaryPath(defaultWorkRoot());
  try {
    await orRemovalError(sign, () => writeFile(sign, "", { flag: "wx" }));
    for (const entry of folders) if (await orRemovalError(entry.path, () => removeWork(entry.path))) removed.push(entry);
  } finally {
    await rm(sign, { force: true });
  }
  return removed;
}

/**
 * Removes the results in a work folder, its model's record last, and the folder unless it holds something else.
 * @returns whether it did: not if a process uses the folder.
 */
async function removeWork(path: string): Promise<boolean> {
  if ((await temporariesIn(path)).some(({ isAbandoned }) => !isAbandoned)) return false;
  await sweepTemporaries(path);
  const names = (await readdir(path)).filter((name) => isResultName(name) && name !== MODEL_FILE);
  for (const name of [...names, MODEL_FILE]) await rm(join(path, name), { recursive: true, force: true });
  await rmdir(path).catch(() => undefined);
  return true;
}

async function orRemovalError<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asReadError(error, "OUTPUT_UNWRITABLE", path, "a part of the cache that can be removed");
  }
}
