import { describe, expect, it } from "vitest";
import { countParameters } from "../../src/checkpoint/parameters.ts";
import type { UnitKind } from "../../src/model/units.ts";
import { checkPlan } from "../../src/selection/plan-check.ts";
import { selectUnits } from "../../src/selection/select.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import { elementCount } from "../../src/tensor.ts";
import { madeUpScores } from "../support/made-up-scores.ts";
import type { MadeUpScores } from "../support/made-up-scores.ts";
import { FFN_PARAMETERS, MODEL, removedOf, select, THREE } from "../support/selections.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

const SNAP = 8;

describe("ragged", () => {
  it.each(TINY_FAMILIES)(
    "%s: what the plan says is what the cut model lacks, in shapes that runtimes compute",
    async (family) => {
      const model = tinyModel(family, { intermediateSize: 64 });
      const kinds: UnitKind[] = ["ffn", "head", "kv-group"];
      for (const budget of ["10% of blocks", "30% of blocks", "45% of blocks"]) {
        const options = { dimensions: THREE, budget, layout: "ragged", kinds, snap: SNAP } as const;
        const plan = await selectUnits(madeUpScores(model.config), options);
        const { layerSizes } = checkPlan(plan, model.config, []);
        expect(new Set(layerSizes.map((sizes) => JSON.stringify(sizes))).size).toBeGreaterThan(1);
        for (const { intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G } of layerSizes) {
          expect([F % SNAP, H % G]).toEqual([0, 0]);
          // The default floor of 0.3, of 64 units, 6 heads and 3 groups.
          expect(Math.min(F / 20, H / 2, G / 1)).toBeGreaterThanOrEqual(1);
        }
        const expert = cutExpert(tinyCheckpoint(model), plan);
        const left = expert.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
        expect(plan.parameters.total - plan.parameters.removed).toBe(left);
        expect(countParameters(expert.config).total).toBe(left);
        // No step is smaller than this, and no skipped step would have come closer.
        expect(Math.abs(plan.parameters.removed - plan.parameters.requested)).toBeLessThanOrEqual((SNAP * FFN_PARAMETERS) / 2);
      }
    },
  );

  it("removes only what is irrelevant in every dimension at one threshold over the model", async () => {
    const plan = await select({ layout: "ragged", snap: SNAP, budget: "25% of blocks", floor: 0 });
    // Relevances of a unit to its dimension's documents are made up; ranks over all layers, by definition of the rule.
    const scores = madeUpScores(MODEL.config);
    const values: number[][] = THREE.map(() => []);
    for (let layer = 0; layer < 4; layer++) {
      const relevance = await scores.read(layer, "ffn");
      const reference = await scores.readReference(layer, "ffn");
      for (let unit = 0; unit < 64; unit++) {
        THREE.forEach((dimension, d) => {
          const squares = scores.documents.flatMap((document, n) =>
            document.dimensions.includes(dimension) ? [(relevance[n * 64 + unit]! / reference[n]!) ** 2] : [],
          );
          values[d]!.push(squares.reduce((sum, square) => sum + square, 0) / squares.length);
        });
      }
    }
    const keys = values[0]!.map((_, unit) =>
      Math.max(...values.map((ofDimension) => ofDimension.filter((value) => value <= ofDimension[unit]!).length)),
    );
    const gone = removedOf(plan).flatMap((removed, layer) => removed.map((unit) => layer * 64 + unit));
    const threshold = Math.max(...gone.map((unit) => keys[unit]!));
    const irrelevant = keys.flatMap((key, unit) => (key <= threshold ? [unit] : []));
    expect(irrelevant).toEqual(expect.arrayContaining(gone));
    // Each layer keeps only the irrelevant units that do not fill a step, and at most one step that would overshoot the
    // budget.
    expect(irrelevant.length - gone.length).toBeLessThan(4 * SNAP);
    expect(new Set(removedOf(plan).map((removed) => removed.length)).size).toBeGreaterThan(1);
  });

  it("removes units from the layers that matter least, down to their floor", async () => {
    const made: MadeUpScores = { relevance: (layer, _, __, unit) => 10 ** -layer * (1 + unit / 100) };
    const plan = await select(
      { layout: "ragged", snap: SNAP, budget: String((48 + 48 + 16) * FFN_PARAMETERS) + " params", floor: 0.25 },
      made,
    );
    expect(removedOf(plan).map((removed) => removed.length)).toEqual([0, 16, 48, 48]);
  });

  it("removes the same number of heads from every kept group", async () => {
    const made: MadeUpScores = {
      relevance: (layer, kind, __, unit) => (kind === "ffn" ? 5 : 0.01) * (layer === 1 ? 0.1 : 1) * (1 + unit / 10),
    };
    const plan = await select({ layout: "ragged", kinds: ["ffn", "head"], snap: SNAP, budget: "3% of blocks" }, made);
    expect(removedOf(plan, "head")).toEqual([[], [0, 2, 4], [], []]);
  });

  it("removes nothing at a budget of nothing", async () => {
    const plan = await select({ layout: "ragged", budget: 0 });
    expect(plan.layers.map(({ cuts }) => cuts)).toEqual([{}, {}, {}, {}]);
    const checkpoint = tinyCheckpoint(MODEL);
    const expert = cutExpert(checkpoint, plan);
    expect(expert.config).toEqual(MODEL.config);
    expect(expert.configJson).toEqual(MODEL.configJson);
    for (const tensor of expert.tensors) expect(await tensor.readBytes!()).toEqual(await checkpoint.readBytes(tensor.name));
  });

  it("selects again from a model that is ragged already", async () => {
    const plan = await select({ layout: "ragged", snap: SNAP, budget: "25% of blocks" });
    const { config } = cutExpert(tinyCheckpoint(MODEL), plan);
    const options = { dimensions: THREE, budget: "20% of blocks", snap: SNAP } as const;
    const again = await selectUnits(madeUpScores(config), { ...options, layout: "ragged" });
    const widths = checkPlan(again, config, []).layerSizes.map(({ intermediateSize }) => intermediateSize);
    expect(widths.every((width, layer) => width <= config.layerSizes[layer]!.intermediateSize)).toBe(true);
    await expect(selectUnits(madeUpScores(config), { ...options, layout: "uniform" })).rejects.toMatchObject({
      code: "LAYOUT_UNSUPPORTED",
      message: expect.stringMatching(/layers differ in size.*--layout ragged/),
    });
    expect(() => checkPlan({ ...again, layout: "uniform" }, config, [])).toThrow(/layers differ in size/);
  });
});
