/** @file Methods and trials on the whole way, with a tiny model. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { PLAN_FILE_NAME } from "../../src/export/expert-folder.ts";
import { pruneModel, type PruneOptions } from "../../src/pipeline/prune.ts";
import { METHOD_NAMES } from "../../src/selection/methods/index.ts";
import type { PrunePlan } from "../../src/selection/plan.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

async function prepare(folder: string, changes: Partial<PruneOptions>): Promise<PruneOptions> {
  const model = join(folder, "model");
  await writeTinyCheckpoint(model, tinyModel("llama", { intermediateSize: 128, numHiddenLayers: 3 }), "BF16");
  return {
    model,
    corpora: { domain: [await writeTinyCorpus(join(folder, "domain.jsonl"), { seed: 2 })] },
    corpusOptions: { documents: 8, heldOutDocuments: 3 },
    selection: { budget: "20% of blocks", layout: "ragged" },
    out: join(folder, "expert"),
    work: join(folder, "work"),
    measure: false,
    overwrite: true,
    ...changes,
  };
}

/** Runs and returns the stages it went through, with the plan. */
async function run(options: PruneOptions): Promise<{ stages: Set<string>; plan: PrunePlan; repaired: boolean }> {
  const stages = new Set<string>();
  const { repair } = await pruneModel({ ...options, onProgress: ({ stage }) => stages.add(stage) });
  const plan = JSON.parse(await readFile(join(options.out, PLAN_FILE_NAME), "utf8")) as PrunePlan;
  return { stages, plan, repaired: repair !== null };
}

describe("trials", () => {
  test("decide over ragged widths, are kept for the next run, and are not made where relevance decides", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder, {});
      const first = await run(options);
      expect(first.plan).toMatchObject({ method: "cusprun", allocation: "damage" });
      expect(first.stages).toContain("trying cuts");
      const again = await run(options);
      expect(again.stages).not.toContain("trying cuts");
      expect(again.plan).toEqual(first.plan);
      const global = await run({ ...options, selection: { ...options.selection, allocation: "global" } });
      expect(global.stages).not.toContain("trying cuts");
      expect(global.plan.allocation).toBe("global");
    }));

  test("cut every kind of unit that may go", () =>
    withFolder(async (folder) => {
      const kinds = ["ffn", "head", "kv-group"] as const;
      const options = await prepare(folder, { selection: { budget: "30% of blocks", layout: "ragged", kinds } });
      const { plan } = await run(options);
      expect(plan.parameters.removed).toBeGreaterThan(0);
    }));
});

test.each(METHOD_NAMES)("%s makes an expert of the same size, repaired only if it is ours", (method) =>
  withFolder(async (folder) => {
    const options = await prepare(folder, { method, selection: { budget: "25% of blocks", layout: "uniform" } });
    const { plan, repaired } = await run(options);
    expect(plan).toMatchObject({ method, aggregate: method === "cusprun-paper" ? "max" : "mean" });
    expect(plan.layers.map(({ cuts }) => cuts.ffn?.removed.length)).toEqual([32, 32, 32]);
    expect(repaired).toBe(method === "cusprun");
  }),
);
