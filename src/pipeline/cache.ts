/**
 * @file What is in the user's cache: downloaded models, work folders, and what ended processes left. Only names that
 * cusprun itself writes are looked at; models from the hub are in the cache of all Hugging Face tools.
 */

import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { CATALOG, cusprunCacheDir } from "../checkpoint/hub/catalog.ts";
import { stampPath } from "../checkpoint/hub/verified-file.ts";
import { statOrNull } from "../folders.ts";
import { scratchFolder } from "../model/hidden-states.ts";
import { asReadError, systemCodeOf } from "../system-errors.ts";
import { temporariesIn } from "../temporary-files.ts";
import { cusprunVersion } from "./version.ts";
import { defaultWorkRoot } from "./work-folder.ts";
import { MODEL_FILE, readWorkModel, type WorkModel } from "./work-model.ts";

/** A model that was downloaded from Python packages. */
export interface CachedModel {
  readonly kind: "model";
  readonly path: string;
  readonly bytes: number;
  /** Its short name. */
  readonly model: string;
  /** When it was last used, as ISO 8601. */
  readonly lastUsed: string;
}

/** What a work folder holds. */
export type ResultKind = "scores" | "trials" | "repair" | "partial" | "dense-perplexity" | "expert-perplexity" | "speed";

/** A work folder. */
export interface CachedWork {
  readonly kind: "work";
  readonly path: string;
  readonly bytes: number;
  /** A short name, an id on the hub or a path; null if the folder does not say. */
  readonly model: string | null;
  /** When it was last opened, as ISO 8601. */
  readonly lastUsed: string;
  /** The version of cusprun and the device that its results belong to; null if the folder does not say. */
  readonly version: string | null;
  readonly device: string | null;
  /** Bytes of each kind of result. */
  readonly results: Readonly<Partial<Record<ResultKind, number>>>;
  /** Whether a process works there, so that it is not removed. */
  readonly inUse: boolean;
  /** Why no run will use it again; null if one may. */
  readonly unusable: "of another version" | "the model is gone" | "of an unknown model" | null;
}

/** A temporary file or folder of a process that has ended. */
export interface CacheLeftover {
  readonly kind: "leftover";
  readonly path: string;
  readonly bytes: number;
  readonly model: null;
  /** When it was last written to, as ISO 8601. */
  readonly lastUsed: string;
}

export type CacheEntry = CachedModel | CachedWork | CacheLeftover;

/** Names of work folders, and of the results in them. */
const WORK_NAME = /^[0-9a-f]{16}$/;
const RESULT_NAME =
  /^(?:(scores|trials|repair)-[0-9a-f]{16}\.[a-z.]+|(partial)-[a-z-]+-[0-9a-f]{16}.*|((?:dense|expert)-perplexity|speed)\.json)$/;

/**
 * Everything in the cache: models, work folders and leftovers, each from the newest to the oldest.
 * @throws CusprunError `OUTPUT_UNWRITABLE` for a folder that cannot be read.
 */
export async function listCache(): Promise<readonly CacheEntry[]> {
  const models = join(cusprunCacheDir(), "models");
  const root = defaultWorkRoot();
  const folders = (await entriesIn(root)).filter((entry) => entry.isDirectory() && WORK_NAME.test(entry.name));
  const paths = folders.map(({ name }) => join(root, name));
  const leftovers: CacheLeftover[] = [];
  for (const folder of [models, scratchFolder(), root, ...paths]) {
    for (const { path, isAbandoned } of await temporariesIn(folder)) if (isAbandoned) leftovers.push(await asLeftover(path));
  }
  const work = (await Promise.all(paths.map(readWork))).filter((folder) => folder !== null);
  return [await modelsIn(models), work, leftovers].flatMap((entries: readonly CacheEntry[]) =>
    entries.toSorted((a, b) => (a.lastUsed < b.lastUsed ? 1 : -1)),
  );
}

/** Whether runs write a file or folder of this name in a work folder, temporary ones apart. */
export function isResultName(name: string): boolean {
  return name === MODEL_FILE || RESULT_NAME.test(name);
}

async function modelsIn(folder: string): Promise<CachedModel[]> {
  const names = (await entriesIn(folder)).filter((entry) => entry.isFile()).map(({ name }) => name);
  const known = CATALOG.filter(({ packaged }) => names.includes(packaged.fileName));
  return Promise.all(
    known.map(async ({ name, packaged }) => {
      const path = join(folder, packaged.fileName);
      const [file, stamp] = await Promise.all([path, stampPath(path)].map(measure));
      const lastUsed = isoOf(Math.max(file!.changedMs, stamp!.changedMs));
      return { kind: "model", path, bytes: file!.bytes + stamp!.bytes, model: name, lastUsed } as const;
    }),
  );
}

/** Null for a folder that holds nothing that a run wrote. */
async function readWork(path: string): Promise<CachedWork | null> {
  const running = (await temporariesIn(path)).filter(({ isAbandoned }) => !isAbandoned);
  const own = (await entriesIn(path)).map(({ name }) => name).filter(isResultName);
  if (own.length === 0 && running.length === 0) return null;
  const results: Partial<Record<ResultKind, number>> = {};
  let bytes = 0;
  for (const name of own) {
    const size = (await measure(join(path, name))).bytes;
    bytes += size;
    if (name !== MODEL_FILE) results[kindOf(name)] = (results[kindOf(name)] ?? 0) + size;
  }
  for (const temporary of running) bytes += (await measure(temporary.path)).bytes;
  const known = await readWorkModel(path);
  const { changedMs } = await measure(known === null ? path : join(path, MODEL_FILE));
  return {
    kind: "work",
    path,
    bytes,
    model: known?.model ?? null,
    lastUsed: isoOf(changedMs),
    version: known?.version ?? null,
    device: known?.device ?? null,
    results,
    inUse: running.length > 0,
    unusable: await unusableBecause(known),
  };
}

async function unusableBecause(known: WorkModel | null): Promise<CachedWork["unusable"]> {
  if (known === null) return "of an unknown model";
  if (known.version !== cusprunVersion()) return "of another version";
  // A place that cannot be looked at may be back tomorrow.
  const isGone = (await statOrNull(known.path).catch(() => undefined)) === null;
  return isGone ? "the model is gone" : null;
}

function kindOf(name: string): ResultKind {
  const [, ...kinds] = RESULT_NAME.exec(name) ?? [];
  return kinds.find((kind) => kind !== undefined) as ResultKind;
}

async function asLeftover(path: string): Promise<CacheLeftover> {
  const { bytes, changedMs } = await measure(path);
  return { kind: "leftover", path, bytes, model: null, lastUsed: isoOf(changedMs) };
}

/** The bytes in a file, or in all files of a folder, and when it was last changed. Nothing of what is not there. */
async function measure(path: string): Promise<{ readonly bytes: number; readonly changedMs: number }> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return { bytes: 0, changedMs: 0 };
  if (!found.isDirectory()) return { bytes: found.size, changedMs: found.mtimeMs };
  let [bytes, changedMs] = [0, found.mtimeMs];
  for (const name of await readdir(path).catch(() => [])) {
    const inside = await measure(join(path, name));
    bytes += inside.bytes;
    changedMs = Math.max(changedMs, inside.changedMs);
  }
  return { bytes, changedMs };
}

/** The entries of a folder; none if there is no such folder. */
async function entriesIn(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return [];
    throw asReadError(error, "OUTPUT_UNWRITABLE", folder, "a cache folder that can be read");
  }
}

function isoOf(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
