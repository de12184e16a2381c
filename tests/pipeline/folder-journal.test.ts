/** @file A journal in a folder: what is saved is restored, and what does not fit is not used. */

import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { makeBatches } from "../../src/model/batches.ts";
import { openHiddenStates } from "../../src/model/hidden-states.ts";
import { FolderJournal } from "../../src/pipeline/folder-journal.ts";
import { hurryClock } from "../support/hurried-clock.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

beforeEach(hurryClock);
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const documents = [7, 5].map((length) => ({ tokens: new Int32Array(length), byteLength: 1, source: "" }));
const checkpoint = tinyCheckpoint(tinyModel("llama"), "F32");

test.each([false, true])("restores hidden states and results of both widths; in a scratch file: %s", (spills) =>
  withFolder(async (folder) => {
    vi.stubEnv("CUSPRUN_CACHE", join(folder, "cache"));
    const batches = makeBatches(documents, 7);
    const sets = [await openHiddenStates([6, 4], spills), await openHiddenStates([3], spills)];
    const again = [await openHiddenStates([6, 4], spills), await openHiddenStates([3], spills)];
    const values = [Float32Array.of(1, -2, 3, 0, 0.1, 6), Float32Array.of(7, 8, 9, Number.NaN), Float32Array.of(4, 5, 6)];
    await sets[0]!.set(0, values[0]!);
    await sets[0]!.set(1, values[1]!);
    await sets[1]!.set(0, values[2]!);
    const result = { a: Float32Array.of(1.5), b: Float64Array.of(Math.PI, -0), c: Float32Array.of(2, 3) };
    const first = new FolderJournal(join(folder, "partial"), "key", checkpoint);
    expect(await first.resume(batches)).toBe(0);
    await first.step(
      0,
      () => Promise.resolve({}),
      () => sets,
    );
    await first.step(1, () => Promise.resolve(result), null);
    const second = new FolderJournal(join(folder, "partial"), "key", checkpoint);
    expect(await second.resume(batches)).toBe(2);
    await second.restore(again);
    expect((await again[0]!.get(0)).slice()).toEqual(values[0]);
    expect((await again[0]!.get(1)).slice()).toEqual(values[1]);
    expect((await again[1]!.get(0)).slice()).toEqual(values[2]);
    expect(await second.step(1, () => Promise.reject(new Error("made again")), null)).toEqual(result);
    await second.close();
    for (const states of [...sets, ...again]) await states.close();
  }),
);

test("does not go on with other batches, nor with another key", () =>
  withFolder(async (folder) => {
    const path = join(folder, "partial");
    for (const [key, tokens] of [
      ["key", 7],
      ["key", 14],
      ["other", 14],
    ] as const) {
      const journal = new FolderJournal(path, key, checkpoint);
      expect(await journal.resume(makeBatches(documents, tokens))).toBe(0);
      await journal.step(
        0,
        () => Promise.resolve({}),
        () => [],
      );
      await journal.close();
    }
  }));

test("that cannot be written is given up: the work goes on", () =>
  withFolder(async (folder) => {
    await writeFile(join(folder, "file"), "");
    const journal = new FolderJournal(join(folder, "file", "partial"), "key", checkpoint);
    expect(await journal.resume([])).toBe(0);
    for (const step of [0, 1])
      expect(
        await journal.step(
          step,
          () => Promise.resolve({}),
          () => [],
        ),
      ).toEqual({});
    expect(await readdir(folder)).toEqual(["file"]);
  }));

test("saves nothing of a model that has changed", () =>
  withFolder(async (folder) => {
    const path = join(folder, "partial");
    const changed = { ...checkpoint, changedFile: () => Promise.resolve("model.safetensors") };
    const journal = new FolderJournal(path, "key", changed);
    await journal.resume([]);
    await expect(
      journal.step(
        0,
        () => Promise.resolve({}),
        () => [],
      ),
    ).rejects.toMatchObject({ code: "MODEL_CHANGED" });
    expect(await readdir(folder)).toEqual([]);
  }));
