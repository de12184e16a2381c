/** @file Methods and trials in whole runs, with a tiny model. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { PLAN_FILE_NAME } from "../../src/export/unlisted-expert.ts";
import type { PruneOptions } from "../../src/pipeline/prepare-prune.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import { applyPlan, scoreModel, selectFromScores } from "../../src/pipeline/steps.ts";
import { renderReport } from "../../src/report/table.ts";
import { METHOD_NAMES } from "../../src/selection/methods/index.ts";
import type { PrunePlan } from "../../src/selection/plan.ts";
import { quantizedGguf } from "../support/quantized-gguf.ts";
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

/** Runs, and returns the stages with the plan. */
async function run(options: PruneOptions): Promise<{ stages: Set<string>; plan: PrunePlan; repaired: boolean }> {
  const stages = new Set<string>();
  const { repair } = await pruneModel({ ...options, onProgress: ({ stage }) => stages.add(stage) });
  const plan = JSON.parse(await readFile(join(options.out, PLAN_FILE_NAME), "utf8")) as PrunePlan;
  return { stages, plan, repaired: repair !== null };
}

describe("methods that pool their documents", () => {
  test.each(["wanda-sp", "flap"] as const)(
    "%s: do not see those of other dimensions, which an earlier run has scored",
    (method) =>
      withFolder(async (folder) => {
        const options = await prepare(folder, { method, selection: { budget: "25% of blocks", layout: "uniform" } });
        const alone = await run(options);
        const language = [await writeTinyCorpus(join(folder, "language.jsonl"), { seed: 5 })];
        const work = join(folder, "other work");
        const both = await run({ ...options, work, corpora: { ...options.corpora, language } });
        expect(both.plan.layers).not.toEqual(alone.plan.layers);
        const after = await run({ ...options, work });
        expect(after.stages).not.toContain("scoring");
        expect(after.plan.layers).toEqual(alone.plan.layers);
      }),
  );
});

describe("trials", () => {
  test("decide ragged widths, are kept for the next run, and are not made if relevance decides", () =>
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

  test("cut every kind of unit that may be removed", () =>
    withFolder(async (folder) => {
      const kinds = ["ffn", "head", "kv-group"] as const;
      const options = await prepare(folder, { selection: { budget: "30% of blocks", layout: "ragged", kinds } });
      const { plan } = await run(options);
      expect(plan.parameters.removed).toBeGreaterThan(0);
    }));
});

const METHODS_OF_UNITS = METHOD_NAMES.filter((method) => method !== "shortgpt");
test.each(METHODS_OF_UNITS)("%s makes an expert of the same size, repaired only if it is ours", (method) =>
  withFolder(async (folder) => {
    const options = await prepare(folder, { method, selection: { budget: "25% of blocks", layout: "uniform" } });
    const { plan, repaired } = await run(options);
    expect(plan).toMatchObject({ method, aggregate: method === "cusprun-paper" ? "max" : "mean" });
    expect(plan.layers.map(({ cuts }) => cuts.ffn?.removed.length)).toEqual([32, 32, 32]);
    expect(repaired).toBe(method === "cusprun");
  }),
);

describe("shortgpt", () => {
  test("drops whole layers, measures and reports them, and its plan can be applied", () =>
    withFolder(async (folder) => {
      const selection = { budget: "25% of blocks", layout: "uniform" } as const;
      const options = await prepare(folder, { method: "shortgpt", selection, measure: true });
      const report = await pruneModel(options);
      expect(report.repair).toBeNull();
      const gone = report.units.find(({ kind }) => kind === "layer")!.removedPerLayer;
      expect(gone.toSorted((a, b) => a - b)).toEqual([0, 0, 1]);
      expect(renderReport(report)).toContain(`removed 1 of 3 layers (numbered from 0): ${gone.indexOf(1)}`);
      expect(report.dimensions[0]!.expert!.perplexity).toBeGreaterThan(1);
      const card = await readFile(join(options.out, "README.md"), "utf8");
      const texts = ["1 of its 3 decoder layers was removed", "2 of 3 layers were kept", "The pruning method is `shortgpt`"];
      for (const text of texts) expect(card).toContain(text);
      const out = join(folder, "applied");
      const plan = join(options.out, PLAN_FILE_NAME);
      await applyPlan({ model: options.model, plan, out });
      const weights = async (of: string): Promise<Buffer> => readFile(join(of, "model.safetensors"));
      expect(await weights(out)).toEqual(await weights(options.out));
      const repairing = { model: options.model, plan, out: join(folder, "repaired"), corpora: options.corpora };
      await expect(applyPlan(repairing)).rejects.toMatchObject({ code: "REPAIR_UNSUPPORTED" });
    }));

  test("refuses settings that do not fit whole layers, before anything is scored", () =>
    withFolder(async (folder) => {
      const options = await prepare(folder, { method: "shortgpt" });
      const uniform = { budget: "25% of blocks", layout: "uniform" } as const;
      const attempts = [
        [{ selection: { ...uniform, layout: "ragged" } }, "LAYOUT_UNSUPPORTED"],
        [{ selection: { ...uniform, kinds: ["ffn"] } }, "SELECTION_INVALID"],
        [{ selection: { ...uniform, budget: "5% of blocks" } }, "BUDGET_UNREACHABLE"],
        [{ selection: uniform, repair: true }, "REPAIR_UNSUPPORTED"],
      ] as const;
      for (const [changes, code] of attempts) {
        const stages = new Set<string>();
        const onProgress: PruneOptions["onProgress"] = ({ stage }) => stages.add(stage);
        await expect(pruneModel({ ...options, ...changes, onProgress })).rejects.toMatchObject({ code });
        expect(stages).not.toContain("scoring");
      }
    }));

  test("refuses a GGUF of Gemma 3 whose sliding layers no longer follow a period, before it measures or writes", () =>
    withFolder(async (folder) => {
      const selection = { budget: "8% of blocks", layout: "uniform" } as const;
      const model = join(folder, "tiny.gguf");
      const options = await prepare(folder, { model, method: "shortgpt", selection, formats: ["gguf"], measure: true });
      const sizes = { hiddenSize: 64, intermediateSize: 64, numAttentionHeads: 8, numKeyValueHeads: 4, vocabSize: 300 };
      // Every 6th layer has full attention. Norms of zero make layer 2 the one that is removed.
      const gemma = tinyModel("gemma3", { ...sizes, numHiddenLayers: 12 });
      for (const norm of ["post_attention_layernorm", "post_feedforward_layernorm"])
        gemma.tensors.get(`model.layers.2.${norm}.weight`)!.values.fill(-1);
      await writeFile(model, quantizedGguf(gemma));
      const stages = new Set<string>();
      const onProgress: PruneOptions["onProgress"] = ({ stage }) => stages.add(stage);
      await expect(pruneModel({ ...options, onProgress })).rejects.toMatchObject({
        code: "EXPORT_UNSUPPORTED",
        parts: { found: "sliding layers that follow no period" },
      });
      expect([...stages].at(-1)).toBe("selecting");
    }));

  test("is scored, selected and applied step by step as kind layer", () =>
    withFolder(async (folder) => {
      const { model, corpora, corpusOptions } = await prepare(folder, {});
      const [scores, plan] = [join(folder, "scores.safetensors"), join(folder, "plan.json")];
      await scoreModel({ model, corpora, corpusOptions: corpusOptions!, selection: { kinds: ["layer"] }, out: scores });
      const selection = { budget: "60% of blocks", layout: "uniform", kinds: ["layer"] } as const;
      const { units } = await selectFromScores({ scores, selection, out: plan });
      expect(units.map(({ kind }) => kind)).toEqual(["layer"]);
      await applyPlan({ model, plan, out: join(folder, "applied") });
      const expert = await openCheckpoint(join(folder, "applied"));
      expect(expert.config.numHiddenLayers).toBe(1);
      await expert.close();
    }));
});
