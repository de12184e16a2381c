/** @file Comparing as a function: the work that runs share, runs that are added, and requests that are refused. */

import { readFileSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareMethods } from "../../src/pipeline/compare-methods.ts";
import type { CompareOptions } from "../../src/pipeline/comparison-plan.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

async function prepare(folder: string, changes: Partial<CompareOptions> = {}): Promise<CompareOptions> {
  const model = join(folder, "model");
  await writeTinyCheckpoint(model, tinyModel("llama", { intermediateSize: 128, numHiddenLayers: 2 }));
  return {
    model,
    corpora: { domain: [await writeTinyCorpus(join(folder, "domain.jsonl"), { documents: 24 })] },
    corpusOptions: { documents: 8, heldOutDocuments: 3 },
    methods: ["random"],
    budgets: ["25% of blocks"],
    out: join(folder, "comparison"),
    work: join(folder, "work"),
    ...changes,
  };
}

/** Compares and returns the stages without their prefixes. */
async function stagesOf(options: CompareOptions): Promise<readonly string[]> {
  const stages = new Set<string>();
  await compareMethods({ ...options, onProgress: ({ stage }) => stages.add(stage) });
  return [...stages];
}

describe("compareMethods", () => {
  test("scores once for all methods, although each needs other relevances", () =>
    withFolder(async (folder) => {
      const stages = await stagesOf(await prepare(folder, { methods: ["random", "flap", "wanda-sp", "cusprun-paper"] }));
      expect(stages.filter((stage) => stage.endsWith("scoring"))).toEqual(["scoring"]);
      expect(stages.filter((stage) => stage.endsWith("measuring the dense model"))).toEqual(["measuring the dense model"]);
    }));

  test("adds methods and budgets to earlier results, and accepts variants of a method", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      await compareMethods(options);
      const variant = { name: "flap, repaired", method: "flap", repair: true, selection: { layout: "ragged" } } as const;
      const { runs, made, reused } = await compareMethods({
        ...options,
        methods: [variant, "random"],
        budgets: ["10% of blocks", "25 % of  blocks"],
      });
      expect({ made, reused }).toEqual({ made: 3, reused: 1 });
      expect(runs.map(({ method, budget, repaired }) => [method, budget, repaired])).toEqual([
        ["random", "25% of blocks", false],
        ["flap, repaired", "10% of blocks", true],
        ["random", "10% of blocks", false],
        // The budget of an earlier run in another spelling.
        ["flap, repaired", "25% of blocks", true],
      ]);
    }));

  test("repeats a run whose expert should be kept and is missing", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      const first = await compareMethods(options);
      const kept = await compareMethods({ ...options, keep: true });
      expect(kept).toMatchObject({ made: 1, runs: [{ expert: "experts/random-25-percent-of-blocks-seed-0" }] });
      const { elapsedMs: _, peakBytes: _peak, expert: _expert, ...figures } = first.runs[0]!;
      expect(kept.runs[0]).toMatchObject(figures);
      expect(await compareMethods({ ...options, keep: true })).toMatchObject({ made: 0 });
    }));

  test("keeps no run whose corpora changed since the comparison began, and goes on with the old ones", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder, { methods: ["random", "magnitude"] });
      const [path] = options.corpora.domain as [string];
      const old = readFileSync(path);
      let isChanged = false;
      const onProgress = ({ stage }: { readonly stage: string }): void => {
        if (isChanged || !stage.startsWith("1/2 ")) return;
        isChanged = true;
        writeFileSync(path, old.toString("utf8").replaceAll("w1 ", "w2 "));
      };
      await expect(compareMethods({ ...options, onProgress })).rejects.toMatchObject({
        code: "CORPUS_CHANGED",
        parts: { where: path },
      });
      writeFileSync(path, old);
      expect(await compareMethods(options)).toMatchObject({ made: 2, reused: 0 });
    }));

  test.each<[string, (options: CompareOptions) => Promise<CompareOptions>, RegExp]>([
    [
      "corpora that have changed",
      async (options) => {
        await writeTinyCorpus(options.corpora.domain![0]!, { documents: 24, seed: 9 });
        return options;
      },
      /random at 25% of blocks, seed 0, on other documents/,
    ],
    [
      "results that are damaged",
      async (options) => {
        await writeFile(join(options.out, "results.json"), '{"format": "cusprun-comparison-2", "runs": [{}]}');
        return options;
      },
      /does not hold a comparison in this format/,
    ],
    [
      "another model",
      async (options) => {
        await writeTinyCheckpoint(options.model, tinyModel("llama", { intermediateSize: 96, numHiddenLayers: 2 }));
        return options;
      },
      /other settings: model/,
    ],
  ])("refuses %s", (_, change, message) =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      await compareMethods(options);
      await expect(compareMethods(await change(options))).rejects.toMatchObject({
        code: "OUTPUT_EXISTS",
        message: expect.stringMatching(message) as string,
      });
    }),
  );

  test("refuses a folder that holds something else, and duplicates", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder);
      await expect(compareMethods({ ...options, out: folder })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      await expect(compareMethods({ ...options, memoryLimit: 1e8 })).rejects.toMatchObject({ code: "MEMORY_LIMIT" });
      await expect(compareMethods({ ...options, methods: [] })).rejects.toMatchObject({ code: "USAGE" });
      await expect(compareMethods({ ...options, seeds: [1, 1] })).rejects.toMatchObject({ code: "USAGE" });
      await expect(compareMethods({ ...options, methods: ["flap"], selection: { kinds: ["head"] } })).rejects.toMatchObject({
        code: "SELECTION_INVALID",
      });
    }));
});
