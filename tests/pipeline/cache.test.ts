/** @file The user's cache: what is listed, what is removed from it and what never is, and the limit after a run. */

import { mkdir, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { exists } from "../../src/folders.ts";
import { listCache } from "../../src/pipeline/cache.ts";
import { describeCache, pruneCache, type CacheReport } from "../../src/pipeline/cache-prune.ts";
import type { PruneOptions } from "../../src/pipeline/prepare-prune.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import { cusprunVersion } from "../../src/pipeline/version.ts";
import { MODEL_FILE } from "../../src/pipeline/work-model.ts";
import { writeRecord } from "../../src/pipeline/work-records.ts";
import { withWorkFolder } from "../../src/pipeline/work-use.ts";
import { temporaryPath } from "../../src/temporary-files.ts";
import { ELSEWHERE_MARK, ENDED_MARK } from "../support/ended-process.ts";
import { preparePrune } from "../support/prune-runs.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

afterEach(() => vi.unstubAllEnvs());

/** A folder that is the user's cache for the test. */
function withCache(use: (cache: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    vi.stubEnv("CUSPRUN_CACHE", join(folder, "cache"));
    vi.stubEnv("CUSPRUN_CACHE_LIMIT", undefined);
    await mkdir(join(folder, "cache", "work"), { recursive: true });
    await use(join(folder, "cache"));
  });
}

async function writeBytes(path: string, bytes: number): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, new Uint8Array(bytes));
}

interface Recorded {
  readonly version?: string;
  readonly path?: string;
  /** Day of January 2026 on which it was last used. */
  readonly day?: number;
}

/** Makes a work folder with one scores file. @returns its path. */
async function makeWork(cache: string, digit: string, bytes: number, recorded: Recorded | null = {}): Promise<string> {
  const folder = join(cache, "work", digit.repeat(16));
  await writeBytes(join(folder, "scores-0123456789abcdef.safetensors"), bytes);
  if (recorded === null) return folder;
  const { version = cusprunVersion(), path = cache, day = 1 } = recorded;
  const file = join(folder, MODEL_FILE);
  await writeRecord(file, { model: `model-${digit}`, path, bytes: 7, version, device: "cpu" });
  const time = new Date(Date.UTC(2026, 0, day));
  await utimes(file, time, time);
  return folder;
}

/** What was removed, and why: `a: reason`, or the path below the cache if it is no work folder. */
const removedOf = ({ folder, pruned }: CacheReport): string[] =>
  pruned!.removed.map(({ kind, path, reason }) =>
    kind === "work" ? `${path.at(-1)}: ${reason}` : path.slice(folder.length + 1).replace(/\.cusprun.*/, "…"),
  );

describe("the list", () => {
  test("is empty without a cache", () =>
    withCache(async (cache) => {
      await rm(cache, { recursive: true });
      expect(await describeCache()).toMatchObject({ folder: cache, entries: [], bytes: 0, workBytes: 0, pruned: null });
      expect(await exists(cache)).toBe(false);
    }));

  test("has models, work folders and leftovers, newest first, with sizes; and nothing that is not cusprun's", () =>
    withCache(async (cache) => {
      await writeBytes(join(cache, "models", "smollm2-135m-instruct-q4_1.gguf"), 1000);
      await writeBytes(join(cache, "models", "mine.gguf"), 1);
      await writeBytes(join(cache, "photos", "cat.jpg"), 1);
      await writeBytes(join(cache, "work", "thesis", "chapter.md"), 1);
      await writeBytes(join(cache, "work", "e".repeat(16), "chapter.md"), 1);
      await symlink(join(cache, "photos"), join(cache, "work", "f".repeat(16)));
      const older = await makeWork(cache, "a", 100, { day: 3 });
      await writeBytes(join(older, "scores-0123456789abcdef.index.json"), 10);
      await writeBytes(join(older, "trials-0123456789abcdef.json"), 20);
      await writeBytes(join(older, "repair-0123456789abcdef.safetensors"), 30);
      await writeBytes(join(older, "partial-scores-0123456789abcdef-1", "layer-1"), 40);
      await writeBytes(join(older, "dense-perplexity.json"), 50);
      await writeBytes(join(older, "speed.json"), 60);
      await writeBytes(join(older, "repair-notes.txt"), 1);
      await writeBytes(join(older, "partial-thoughts.txt"), 1);
      await makeWork(cache, "b", 5, { day: 4 });
      const left = ["models", "scratch", "work", join("work", "a".repeat(16))].map((folder) =>
        join(cache, folder, `.cusprun-${ENDED_MARK}-00000000`),
      );
      await writeBytes(join(left[0]!, "wheels", "part.whl"), 300);
      for (const path of left.slice(1)) await writeBytes(path, 7);

      const { entries, bytes, workBytes } = await describeCache();
      const kinds = ["model", "work", "work", "leftover", "leftover", "leftover", "leftover"];
      expect(entries.map(({ kind }) => kind)).toEqual(kinds);
      expect(entries[0]).toMatchObject({ model: "smollm2", bytes: 1000 });
      const recordBytes = (await stat(join(older, MODEL_FILE))).size;
      expect(entries[2]).toMatchObject({
        path: older,
        model: "model-a",
        bytes: 310 + recordBytes,
        lastUsed: "2026-01-03T00:00:00.000Z",
        version: cusprunVersion(),
        device: "cpu",
        results: { scores: 110, trials: 20, repair: 30, partial: 40, "dense-perplexity": 50, speed: 60 },
        inUse: false,
        unusable: null,
      });
      const leftovers = entries.filter(({ kind }) => kind === "leftover");
      expect(leftovers.map(({ path }) => path).toSorted()).toEqual(left.toSorted());
      expect(leftovers.map((entry) => entry.bytes).toSorted((a, b) => a - b)).toEqual([7, 7, 7, 300]);
      expect(workBytes).toBe(310 + 5 + 2 * recordBytes);
      expect(bytes).toBe(1000 + workBytes + 321);
    }));

  test("says why a work folder will not be used again", () =>
    withCache(async (cache) => {
      await makeWork(cache, "a", 1, { version: "0.0.1" });
      await makeWork(cache, "b", 1, { path: join(cache, "gone.gguf") });
      await makeWork(cache, "c", 1, null);
      const damaged = await makeWork(cache, "d", 1);
      await writeFile(join(damaged, MODEL_FILE), '{"digest": "0", "content": {}}');
      const reasons = (await listCache()).map((entry) => [entry.path.at(-1), entry.kind === "work" ? entry.unusable : ""]);
      expect(Object.fromEntries(reasons)).toEqual({
        a: "of another version",
        b: "the model is gone",
        c: "of an unknown model",
        d: "of an unknown model",
      });
    }));
});

describe("pruning", () => {
  test("removes leftovers, unusable folders, and the least recently used down to the limit", () =>
    withCache(async (cache) => {
      await writeBytes(join(cache, "models", "smollm2-135m-instruct-q4_1.gguf"), 1000);
      for (const [digit, day] of [
        ["a", 4],
        ["b", 2],
        ["c", 3],
        ["d", 5],
      ] as const)
        await makeWork(cache, digit, 10_000, { day });
      await makeWork(cache, "e", 10_000, { day: 6, version: "0.0.1" });
      await writeBytes(join(cache, "scratch", `.cusprun-${ENDED_MARK}-00000000`), 1);
      const expected = ["scratch/…", "e: of another version", "b: not used for longest", "c: not used for longest"];

      const before = (await readdir(cache, { recursive: true })).toSorted();
      const planned = await pruneCache({ limitBytes: 25_000, dryRun: true });
      expect(removedOf(planned)).toEqual(expected);
      expect(planned.entries).toHaveLength(7);
      expect((await readdir(cache, { recursive: true })).toSorted()).toEqual(before);

      const done = await pruneCache({ limitBytes: 25_000 });
      expect(removedOf(done)).toEqual(expected);
      expect(done.pruned!.bytes).toBe(planned.pruned!.bytes);
      expect(done.entries.map(({ path }) => path.at(-1))).toEqual(["f", "d", "a"]);
      expect((await readdir(join(cache, "work"))).toSorted()).toEqual(["a".repeat(16), "d".repeat(16)]);
      expect(await readdir(join(cache, "scratch"))).toEqual([]);
      expect(removedOf(await pruneCache({ all: true }))).toEqual(["a: all work folders go", "d: all work folders go"]);
      expect((await readdir(cache, { recursive: true })).toSorted()).toEqual([
        "models",
        "models/smollm2-135m-instruct-q4_1.gguf",
        "scratch",
        "work",
      ]);
    }));

  test("takes the limit from the environment", () =>
    withCache(async (cache) => {
      for (const digit of ["a", "b"]) await makeWork(cache, digit, 10_000, { day: digit === "a" ? 1 : 2 });
      vi.stubEnv("CUSPRUN_CACHE_LIMIT", "15KB");
      expect(removedOf(await pruneCache())).toEqual(["a: not used for longest"]);
      vi.stubEnv("CUSPRUN_CACHE_LIMIT", "plenty");
      await expect(pruneCache()).rejects.toMatchObject({
        code: "USAGE",
        parts: { where: "CUSPRUN_CACHE_LIMIT", found: "'plenty'", remedy: "Set CUSPRUN_CACHE_LIMIT to 5GB, for example" },
      });
    }));

  test("leaves folders in use, and whatever cusprun did not write", () =>
    withCache(async (cache) => {
      const used = await makeWork(cache, "a", 10);
      await writeFile(temporaryPath(used), "");
      const elsewhere = await makeWork(cache, "b", 10);
      await writeFile(join(elsewhere, `.cusprun-${ELSEWHERE_MARK}-00000000`), "");
      const shared = await makeWork(cache, "c", 10);
      await writeFile(join(shared, "notes.txt"), "mine");
      await writeFile(join(cache, "work", "thesis.md"), "mine");
      expect(removedOf(await pruneCache({ all: true, limitBytes: 1 }))).toEqual(["c: all work folders go"]);
      expect(await readdir(used)).toHaveLength(3);
      expect(await readdir(elsewhere)).toHaveLength(3);
      expect(await readdir(shared)).toEqual(["notes.txt"]);
      expect(await exists(join(cache, "work", "thesis.md"))).toBe(true);
    }));
});

describe("a run", () => {
  /** A run in the user's cache. */
  const prepare = async (cache: string): Promise<PruneOptions> => {
    const { work: _, ...options } = await preparePrune(join(cache, ".."), { measure: false, repair: false, overwrite: true });
    return options;
  };

  test("records its model and its use, and leaves nothing else", () =>
    withCache(async (cache) => {
      const options = await prepare(cache);
      await pruneModel(options);
      const [entry] = await listCache();
      expect(entry).toMatchObject({
        model: options.model,
        version: cusprunVersion(),
        device: "cpu",
        inUse: false,
        unusable: null,
      });
      expect((await readdir(cache, { recursive: true })).filter((name) => name.includes(".cusprun-"))).toEqual([]);
      const long = new Date(0);
      await utimes(join(entry!.path, MODEL_FILE), long, long);
      await pruneModel(options);
      expect((await listCache())[0]!.lastUsed > "2020").toBe(true);
    }));

  test("holds the cache to its limit, without its own folder; a folder that --work names is left alone", () =>
    withCache(async (cache) => {
      const options = await prepare(cache);
      await makeWork(cache, "a", 10, { version: "0.0.1" });
      await makeWork(cache, "b", 10);
      vi.stubEnv("CUSPRUN_CACHE_LIMIT", "1");
      await pruneModel({ ...options, work: join(cache, "work") });
      expect(await readdir(join(cache, "work"))).toHaveLength(3);
      await pruneModel(options);
      expect((await listCache()).map(({ model }) => model)).toEqual([options.model]);
      await makeWork(cache, "a", 10, { version: "0.0.1" });
      vi.stubEnv("CUSPRUN_CACHE_LIMIT", "1G");
      await pruneModel(options);
      expect(await listCache()).toHaveLength(2);
    }));

  test("keeps its folder while it works", () =>
    withCache(async (cache) => {
      const options = await prepare(cache);
      let pruning: Promise<CacheReport> | undefined;
      const onProgress = ({ stage }: { readonly stage: string }): void => {
        if (stage === "scoring") pruning ??= pruneCache({ all: true });
      };
      await pruneModel({ ...options, onProgress });
      expect(removedOf((await pruning)!)).toEqual([]);
      expect(await listCache()).toHaveLength(1);
    }));

  test("refuses a wrong limit before any work", () =>
    withCache(async (cache) => {
      const options = await prepare(cache);
      vi.stubEnv("CUSPRUN_CACHE_LIMIT", "-1");
      await expect(pruneModel(options)).rejects.toMatchObject({ code: "USAGE", parts: { where: "CUSPRUN_CACHE_LIMIT" } });
      expect(await readdir(join(cache, "work"))).toEqual([]);
    }));

  test("waits while the cache is being pruned, and makes its folder again", () =>
    withCache(async (cache) => {
      const model = join(cache, "..", "model");
      await writeTinyCheckpoint(model, tinyModel("llama"));
      const checkpoint = await openCheckpoint(model);
      const sign = temporaryPath(join(cache, "work"));
      await writeFile(sign, "");
      let isRunning = false;
      const folder = join(cache, "work", "a".repeat(16));
      const running = withWorkFolder(folder, model, checkpoint, undefined, {}, () => {
        isRunning = true;
        return readdir(folder);
      });
      await setTimeout(200);
      expect(isRunning).toBe(false);
      await rm(sign);
      expect(await running).toEqual([expect.stringMatching(/^\.cusprun-/), MODEL_FILE]);
      await checkpoint.close();
    }));
});
