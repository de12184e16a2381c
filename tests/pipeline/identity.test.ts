/** @file What later runs reuse belongs to the same bytes: of the weights, of the kept files, of the plan's model. */

import { createHash } from "node:crypto";
import { openSync, closeSync, writeSync, readFileSync, renameSync, writeFileSync, cpSync } from "node:fs";
import { cp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { PruneOptions } from "../../src/pipeline/prepare-prune.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import { applyPlan } from "../../src/pipeline/steps.ts";
import { readPlan, writePlan } from "../../src/selection/plan-file.ts";
import { preparePrune, SIZES, stagesOf } from "../support/prune-runs.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyModel, writeTinyCheckpoint, type TinyModel } from "../support/tiny-models.ts";

/** Every expensive stage of a repaired, ragged, measured run. */
const EXPENSIVE = ["scoring", "trying cuts", "measuring the dense model", "repairing"];
const DOWN = "model.layers.1.mlp.down_proj.weight";

/** A run that uses everything that is kept. */
async function prepare(folder: string): Promise<PruneOptions> {
  const selection = { budget: "25% of blocks", layout: "ragged", snap: 8 } as const;
  return { ...(await preparePrune(folder, { selection })), overwrite: true };
}

/** The expensive stages that a run goes through. */
async function expensiveStages(options: PruneOptions): Promise<string[]> {
  const stages = await stagesOf(options);
  return EXPENSIVE.filter((stage) => stages.has(stage));
}

const weightsFile = ({ model }: PruneOptions): string => join(model, "model.safetensors");

/** The files of an expert, by a digest, without the times in its card. */
async function expertOf({ out }: PruneOptions): Promise<Record<string, string>> {
  const names = (await readdir(out)).filter((name) => name !== "README.md").toSorted();
  const digest = async (name: string): Promise<string> =>
    createHash("sha256")
      .update(await readFile(join(out, name)))
      .digest("hex");
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await digest(name)] as const)));
}

/** Changes the last byte but one of a file in place: the low byte of the last BF16. */
function flipLast(path: string): void {
  const file = openSync(path, "r+");
  const bytes = readFileSync(path);
  writeSync(file, Uint8Array.of(bytes.at(-2)! ^ 1), 0, 1, bytes.length - 2);
  closeSync(file);
}

function withValue(model: TinyModel, name: string, index: number, value: number): TinyModel {
  const { shape, values } = model.tensors.get(name)!;
  return { ...model, tensors: new Map(model.tensors).set(name, { shape, values: values.with(index, value) }) };
}

/** The files of all work folders, without folders. */
async function workFiles({ work }: PruneOptions): Promise<string[]> {
  const entries = await readdir(work!, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

describe("results of earlier runs", () => {
  test("are reused for the same weights, also from another folder, and not for weights with one other bit", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      expect(await expensiveStages(options)).toEqual(EXPENSIVE);
      expect(await expensiveStages(options)).toEqual([]);
      await cp(options.model, join(folder, "copy"), { recursive: true });
      expect(await expensiveStages({ ...options, model: join(folder, "copy") })).toEqual([]);
      const path = weightsFile(options);
      const { atime, mtime } = await stat(path);
      flipLast(path);
      await utimes(path, atime, mtime);
      expect(await expensiveStages(options)).toEqual(EXPENSIVE);
    }));

  test("carry the names that their corpora have now", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      await pruneModel(options);
      await cp(join(folder, "domain.jsonl"), join(folder, "renamed.jsonl"));
      const renamed = { ...options, corpora: { ...options.corpora, domain: [join(folder, "renamed.jsonl")] } };
      expect(await expensiveStages(renamed)).toEqual([]);
      expect((await readPlan(join(options.out, "cusprun-plan.json"))).corpora.domain).toBe("renamed.jsonl");
    }));
});

describe("a damaged or foreign file in the work folder", () => {
  const damages: readonly (readonly [string, (path: string) => Promise<void>])[] = [
    ["cut in half", async (path) => truncate(path, Math.floor((await stat(path)).size / 2))],
    ["emptied", (path) => truncate(path, 0)],
    ["with one other digit or bit", async (path) => writeFile(path, changed(await readFile(path)))],
    ["replaced by other JSON", (path) => writeFile(path, '{"digest":"","content":{"layers":null}}')],
    ["replaced by deeply nested JSON", (path) => writeFile(path, "[".repeat(100_000))],
    ["replaced by null", (path) => writeFile(path, "null")],
    ["removed", (path) => rm(path)],
  ];

  /** Another digit in the second half of a JSON text, another bit in the last values of another file. */
  function changed(bytes: Buffer): Buffer {
    const isJson = bytes[0] === 0x7b;
    const digit = bytes.findLastIndex((byte) => byte >= 0x31 && byte <= 0x38);
    bytes[isJson ? digit : bytes.length - 3]! ^= 1;
    return bytes;
  }

  test.each(damages)("%s is made again, and the expert is the same", (_, damage) =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      await pruneModel(options);
      const [expert, files] = [await expertOf(options), await workFiles(options)];
      expect(files).toHaveLength(8);
      for (const path of files) {
        await damage(path);
        await pruneModel(options);
        expect(await expertOf(options), path).toEqual(expert);
      }
    }),
  );

  test("that is not ours is neither read nor removed", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      await pruneModel(options);
      const [own] = (await readdir(options.work!)).map((name) => join(options.work!, name));
      const foreign = ["repair-notes.txt", "repair-of-the-roof.safetensors", "scores-0.index.json", "trials.json"];
      for (const name of foreign) await writeFile(join(own!, name), "mine");
      await pruneModel({ ...options, selection: { ...options.selection, budget: "35% of blocks" } });
      for (const name of foreign) expect(await readFile(join(own!, name), "utf8")).toBe("mine");
    }));
});

describe("weights that are not finite", () => {
  test("are named before any work, nothing is kept, and the repaired file is pruned", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      const model = tinyModel("llama", SIZES);
      await writeTinyCheckpoint(options.model, withValue(model, DOWN, 3 * 128 + 5, Number.NaN), "BF16");
      await expect(pruneModel(options)).rejects.toMatchObject({
        code: "WEIGHTS_NOT_FINITE",
        parts: { where: `${weightsFile(options)}: tensor '${DOWN}'`, found: "NaN in row 3, column 5" },
      });
      expect(await workFiles(options)).toEqual([]);
      await writeTinyCheckpoint(options.model, model, "BF16");
      expect(await expensiveStages(options)).toEqual(EXPENSIVE);
    }));

  test("finite ones that overflow are noticed while they are scored, and nothing is kept", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      const huge = withValue(tinyModel("llama", SIZES), "model.layers.0.mlp.up_proj.weight", 7, 3e38);
      await writeTinyCheckpoint(options.model, huge, "F32");
      await expect(pruneModel(options)).rejects.toMatchObject({
        code: "MODEL_OVERFLOW",
        parts: { where: expect.stringMatching(/layer 0$/), found: expect.stringMatching(/document .*\.jsonl/) },
      });
      expect(await workFiles(options)).toEqual([expect.stringMatching(/model\.json$/)]);
    }));
});

describe("a model that changes during a run", () => {
  /** Runs, and calls `change` once, when a stage is first reported. */
  function pruneWhile(options: PruneOptions, during: string, change: () => void): Promise<unknown> {
    let isDone = false;
    const onProgress = ({ stage }: { readonly stage: string }): void => {
      if (isDone || stage !== during) return;
      isDone = true;
      change();
    };
    return pruneModel({ ...options, onProgress });
  }

  test.each([...EXPENSIVE, "writing"])("by a write while %s is refused, and nothing of that step is kept", (stage) =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      const changing = pruneWhile(options, stage, () => flipLast(weightsFile(options)));
      await expect(changing).rejects.toMatchObject({ code: "MODEL_CHANGED", parts: { where: weightsFile(options) } });
      await expect(stat(options.out)).rejects.toMatchObject({ code: "ENOENT" });
      // The bits as they were: whatever is reused now was computed from them alone.
      flipLast(weightsFile(options));
      await pruneModel(options);
      const expert = await expertOf(options);
      await pruneModel({ ...options, work: join(folder, "fresh work") });
      expect(await expertOf(options)).toEqual(expert);
    }),
  );

  test("by a file that takes its place goes on with the one that was opened", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      await pruneModel({ ...options, work: join(folder, "unbroken work") });
      const expert = await expertOf(options);
      await pruneWhile(options, "scoring", () => {
        cpSync(weightsFile(options), join(folder, "other"));
        flipLast(join(folder, "other"));
        renameSync(join(folder, "other"), weightsFile(options));
      });
      expect(await expertOf(options)).toEqual(expert);
      expect(await expensiveStages(options)).toEqual(EXPENSIVE);
    }));

  test("by another tokenizer is refused when that is read again", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      const path = join(options.model, "tokenizer_config.json");
      const changing = pruneWhile(options, "repairing", () => writeFileSync(path, "{}"));
      await expect(changing).rejects.toMatchObject({ code: "MODEL_CHANGED", parts: { where: path } });
    }));
});

describe("a plan", () => {
  const cases: readonly (readonly [string, Partial<Parameters<typeof tinyModel>[1]>, string, "llama" | "mistral", RegExp])[] = [
    ["other weights", { ...SIZES, seed: 9 }, "BF16", "llama", /model\.weights.*"model" to null/],
    ["the same values in another type", SIZES, "F32", "llama", /model\.weights.*another file format or precision/],
    ["another family", SIZES, "BF16", "mistral", /model\.family: found "llama", expected "mistral"/],
    ["another hidden size", { ...SIZES, hiddenSize: 80 }, "BF16", "llama", /model\.tensors: .*found \[\d+, \d+\], expected/],
  ];

  test.each(cases)("of one model is refused for %s, unless it names no model", (_, sizes, dtype, family, message) =>
    withFolder(async (folder) => {
      const options = await preparePrune(folder, { measure: false, repair: false });
      await pruneModel(options);
      const [path, out, model] = [join(options.out, "cusprun-plan.json"), join(folder, "applied"), join(folder, "other")];
      await applyPlan({ model: options.model, plan: path, out });
      await writeTinyCheckpoint(model, tinyModel(family, sizes), dtype as "BF16" | "F32");
      await expect(applyPlan({ model, plan: path, out: join(folder, "refused") })).rejects.toMatchObject({
        code: "PLAN_MISMATCH",
        message: expect.stringMatching(message),
      });
      await expect(stat(join(folder, "refused"))).rejects.toMatchObject({ code: "ENOENT" });
      const anyModel = join(folder, "any-model.json");
      await writePlan(anyModel, { ...(await readPlan(path)), model: null });
      expect(await applyPlan({ model, plan: anyModel, out: join(folder, "forced") })).toMatchObject({ repair: null });
    }),
  );
});
