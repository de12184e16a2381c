import { describe, expect, it } from "vitest";
import { countParameters } from "../../src/checkpoint/parameters.ts";
import type { UnitKind } from "../../src/model/units.ts";
import { checkPlan } from "../../src/selection/plan-check.ts";
import { selectUnits } from "../../src/selection/select.ts";
import type { SelectionOptions } from "../../src/selection/selection-options.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import { elementCount } from "../../src/tensor.ts";
import { madeUpScores } from "../support/made-up-scores.ts";
import type { MadeUpScores } from "../support/made-up-scores.ts";
import { FFN_PARAMETERS, removedOf, select, THREE } from "../support/selections.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

describe("uniform", () => {
  it.each(TINY_FAMILIES)("%s: the cut model lacks the planned units, and its sizes load", async (family) => {
    const model = tinyModel(family, { intermediateSize: 64 });
    const kinds: UnitKind[] = ["ffn", "head", "kv-group"];
    for (const budget of ["10% of blocks", "30% of blocks", "45% of blocks"]) {
      const plan = await selectUnits(madeUpScores(model.config), {
        dimensions: THREE,
        budget,
        layout: "uniform",
        kinds,
        snap: 8,
      });
      const sizes = checkPlan(plan, model.config, []);
      expect(sizes.layerSizes[0]!.intermediateSize % 8).toBe(0);
      const expert = cutExpert(tinyCheckpoint(model), plan);
      const left = expert.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
      expect(plan.parameters.total - plan.parameters.removed).toBe(left);
      expect(countParameters(expert.config).total).toBe(left);
      expect(Math.abs(plan.parameters.removed - plan.parameters.requested)).toBeLessThanOrEqual(4 * 3 * FFN_PARAMETERS);
    }
  });

  it("snaps FFN widths, and records the requested and the removed parameters", async () => {
    const plan = await select({ layout: "uniform", budget: "16% of blocks" });
    expect(removedOf(plan).map((removed) => removed.length)).toEqual([32, 32, 32, 32]);
    expect(plan.parameters.removed).toBe(4 * 32 * FFN_PARAMETERS);
    expect(plan.parameters.requested).toBe(Math.round(0.16 * plan.parameters.blocks));
    expect(plan.parameters.removed).not.toBe(plan.parameters.requested);
  });

  it("removes the same number of heads from every kept group", async () => {
    // Attention matters least, so it is removed first. Half of the heads of each of 3 groups, or 1 group, or both.
    const made: MadeUpScores = { relevance: (_, kind, __, unit) => (kind === "ffn" ? 5 : 0.01) * (1 + unit / 10) };
    const plan = await select({ layout: "uniform", kinds: ["ffn", "head"], snap: 8, budget: "12% of blocks" }, made);
    expect(removedOf(plan, "head")).toEqual(Array.from({ length: 4 }, () => [0, 2, 4]));
  });

  it("takes the split with the least energy per parameter", async () => {
    const cheap = (cheapKind: string): MadeUpScores => ({
      relevance: (_, kind, __, unit) => (kind === cheapKind ? 0.001 : 1) * (1 + unit / 10),
    });
    const options: Partial<SelectionOptions> = {
      layout: "uniform",
      kinds: ["ffn", "kv-group"],
      snap: 8,
      budget: "20% of blocks",
    };
    const fromFfn = await select(options, cheap("ffn"));
    expect(removedOf(fromFfn, "kv-group").flat()).toEqual([]);
    const fromAttention = await select(options, cheap("kv-group"));
    expect(removedOf(fromAttention, "kv-group").every((groups) => groups.length > 0)).toBe(true);
    expect(removedOf(fromAttention).flat().length).toBeLessThan(removedOf(fromFfn).flat().length);
  });

  it("never chooses head counts that no stock runtime loads", async () => {
    const gemma = tinyModel("gemma3", { intermediateSize: 64 }).config;
    const made: MadeUpScores = { relevance: (_, kind) => (kind === "ffn" ? 100 : 0.001) };
    const plan = await selectUnits(madeUpScores(gemma, made), {
      dimensions: THREE,
      budget: "29% of blocks",
      layout: "uniform",
      kinds: ["ffn", "kv-group"],
      snap: 8,
    });
    // One group less leaves 4 heads, which do not divide 30; two less leave 2.
    expect(removedOf(plan, "kv-group").map((groups) => groups.length)).toEqual([2, 2, 2]);
  });

  it("works on one layer", async () => {
    const one = tinyModel("llama", { intermediateSize: 64, numHiddenLayers: 1 }).config;
    for (const layout of ["masked", "uniform"] as const) {
      const plan = await selectUnits(madeUpScores(one), { dimensions: ["task"], budget: "20% of blocks", layout, snap: 1 });
      expect(plan.layers.length).toBe(1);
      expect(plan.layers[0]!.cuts.ffn!.removed.length).toBeGreaterThan(0);
    }
  });
});
