import * as fc from "fast-check";
import { blockSizes } from "../../src/checkpoint/check-tensors.ts";
import { describe, expect, it } from "vitest";
import { unitCount } from "../../src/model/units.ts";
import type { UnitKind } from "../../src/model/units.ts";
import type { RelevanceScores } from "../../src/scoring/relevance.ts";
import { selectUnits } from "../../src/selection/select.ts";
import { madeUpScores } from "../support/made-up-scores.ts";
import type { MadeUpScores } from "../support/made-up-scores.ts";
import { FFN_PARAMETERS, MODEL, removedOf, select, THREE, zeroCount } from "../support/selections.ts";
import { tinyModel } from "../support/tiny-models.ts";

/** Root mean square of a layer's FFN relevances per dimension, each [F], by the definition. */
async function rootMeanSquares(scores: RelevanceScores, layer: number): Promise<number[][]> {
  const values = await scores.read(layer, "ffn");
  const reference = await scores.readReference(layer, "ffn");
  const F = unitCount("ffn", blockSizes(scores.config, layer));
  return THREE.map((dimension) =>
    Array.from({ length: F }, (_, unit) => {
      const shares = scores.documents.flatMap((document, n) =>
        document.dimensions.includes(dimension) ? [values[n * F + unit]! / reference[n]!] : [],
      );
      return Math.sqrt(shares.reduce((sum, share) => sum + share * share, 0) / shares.length);
    }),
  );
}

/** The paper's rule: bisect q until the intersection of {relevance ≤ its q-quantile} has the requested size. */
function literalIntersection(
  relevances: readonly (readonly number[])[],
  weights: readonly number[],
  atMost: number,
): Set<number> {
  const sorted = relevances.map((values) => values.toSorted((a, b) => a - b));
  const intersectionAt = (q: number): number[] =>
    relevances[0]!.flatMap((_, unit) => {
      const irrelevant = relevances.every((values, d) => {
        const rank = Math.min(values.length, Math.floor((q / weights[d]!) * values.length + 1e-9));
        return rank > 0 && values[unit]! <= sorted[d]![rank - 1]!;
      });
      return irrelevant ? [unit] : [];
    });
  let [low, high] = [0, Math.max(...weights) + 1e-6];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (intersectionAt(middle).length <= atMost) low = middle;
    else high = middle;
  }
  return new Set(intersectionAt(low));
}

describe("the intersection", () => {
  it("is the one that a literal bisection over thresholds finds, layer by layer", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom([1, 1, 1], [1, 2, 0.5]),
        async (seed, count, weights) => {
          const scores = madeUpScores(MODEL.config, { seed });
          const budget = `${4 * count * FFN_PARAMETERS} parameters`;
          const plan = await selectUnits(scores, {
            dimensions: THREE,
            budget,
            layout: "masked",
            weights: { language: weights[0], domain: weights[1], task: weights[2] },
          });
          for (const [layer, removed] of removedOf(plan).entries()) {
            expect(removed.length).toBe(count);
            // Several units may enter at one threshold: all that enter before it are included, and none that enters
            // later.
            const relevances = await rootMeanSquares(scores, layer);
            const inside = literalIntersection(relevances, weights, count);
            const next = literalIntersection(relevances, weights, count + 3);
            for (const unit of inside) expect(removed).toContain(unit);
            for (const unit of removed) expect(next.has(unit) || inside.size === count).toBe(true);
          }
        },
      ),
      { numRuns: 25, seed: 1 },
    );
  });

  it("spares a unit that is relevant in one dimension only, unless its weight is 0", async () => {
    // Unit 0 matters to no corpus but the task's; all others matter a little to all.
    const made: MadeUpScores = {
      relevance: (_, __, document, unit) => (unit === 0 ? (document >= 8 ? 9 : 0.01) : 1 + unit / 100),
    };
    for (const removed of removedOf(await select({}, made))) expect(removed).not.toContain(0);
    for (const removed of removedOf(await select({ weights: { task: 0 } }, made))) expect(removed).toContain(0);
    for (const removed of removedOf(await select({ dimensions: ["language", "domain"] }, made))) expect(removed).toContain(0);
  });

  it("gives a dimension with more weight fewer irrelevant units", async () => {
    const plan = await select({ weights: { language: 3 } });
    for (const layer of plan.layers) {
      const { language, domain } = layer.cuts.ffn!.irrelevantShare;
      expect(language!).toBeLessThan(domain!);
    }
  });

  it("breaks ties by the lower index", async () => {
    expect(removedOf(await select({ budget: `${4 * 3 * FFN_PARAMETERS} parameters` }, { relevance: () => 1 }))).toEqual(
      Array.from({ length: 4 }, () => [0, 1, 2]),
    );
  });

  it("is explained in the plan: why, shares and overlap", async () => {
    const scores = madeUpScores(MODEL.config);
    const plan = await select();
    for (const [layer, { cuts }] of plan.layers.entries()) {
      const { removed, why, irrelevantShare } = cuts.ffn!;
      const relevances = await rootMeanSquares(scores, layer);
      THREE.forEach((dimension, d) => {
        const kept = relevances[d]!.filter((_, unit) => !removed.includes(unit));
        expect(why[dimension]!.removedMax).toBeCloseTo(Math.max(...removed.map((unit) => relevances[d]![unit]!)), 5);
        expect(why[dimension]!.keptMin).toBeCloseTo(Math.min(...kept), 5);
        expect(irrelevantShare[dimension]!).toBeGreaterThanOrEqual(removed.length / 64);
      });
    }
    expect(Object.keys(plan.overlap)).toEqual(["language∩domain", "language∩task", "domain∩task"]);
    for (const share of Object.values(plan.overlap)) expect(share).toBeGreaterThan(0.2);
    expect(plan).toMatchObject({
      formatVersion: 2,
      budget: "10%",
      aggregate: "mean",
      weights: { language: 1, domain: 1, task: 1 },
      corpora: { domain: "medical" },
      scores: "f".repeat(64),
    });
  });

  it("of one dimension is its own order; equal dimensions overlap completely", async () => {
    const made: MadeUpScores = { relevance: (_, __, ___, unit) => 1 + ((unit * 37) % 64) };
    const one = await select({ dimensions: ["domain"] }, made);
    expect(one.overlap).toEqual({});
    const three = await select({}, made);
    expect(removedOf(three)).toEqual(removedOf(one));
    expect(Object.values(three.overlap)).toEqual([1, 1, 1]);
  });
});

describe("the budget", () => {
  it.each(["5%", "17.3% of blocks", "3K", "12.345 kB"])("%s is met as closely as one unit allows", async (budget) => {
    for (const allocation of ["layer", "global"] as const) {
      const { parameters } = await select({ budget, allocation });
      expect(Math.abs(parameters.removed - parameters.requested)).toBeLessThanOrEqual(FFN_PARAMETERS / 2);
    }
  });

  it("of 0 keeps everything", async () => {
    for (const layout of ["masked", "uniform"] as const) {
      const plan = await select({ budget: 0, layout, kinds: ["ffn", "head", "kv-group"] });
      expect(plan.parameters.removed).toBe(0);
      expect(plan.layers.every((layer) => Object.keys(layer.cuts).length === 0)).toBe(true);
    }
  });

  it("above what the floor allows is refused, with the most that can be removed", async () => {
    const most = 4 * (64 - Math.ceil(0.3 * 64)) * FFN_PARAMETERS;
    await expect(select({ budget: "80% of blocks" })).rejects.toMatchObject({
      code: "BUDGET_UNREACHABLE",
      exitCode: 5,
      message: expect.stringMatching(new RegExp(`at most ${most} .*floor.*Request less, lower --floor`)),
    });
    await expect(select({ budget: "80% of blocks", layout: "uniform" })).rejects.toMatchObject({
      code: "BUDGET_UNREACHABLE",
      message: expect.stringMatching(/at most 11520 /),
    });
  });

  it("is shared evenly between layers, and a layer's width differs by one unit at most", async () => {
    const counts = removedOf(await select({ budget: `${10 * FFN_PARAMETERS} parameters` })).map((removed) => removed.length);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(10);
    expect(Math.max(...counts) - Math.min(...counts)).toBe(1);
  });

  it("global: removes units with the least share of the residual stream, and no layer falls below its floor", async () => {
    const made: MadeUpScores = { relevance: () => 1, reference: (layer) => 10 ** layer };
    const counts = removedOf(await select({ budget: `${80 * FFN_PARAMETERS} parameters`, allocation: "global" }, made)).map(
      (removed) => removed.length,
    );
    expect(counts).toEqual([0, 0, 80 - 44, 44]);
  });

  it("counts parameters that units share once", async () => {
    const kinds: UnitKind[] = ["ffn", "head", "kv-group", "value-dim", "rotary-pair"];
    const model = tinyModel("qwen2", { intermediateSize: 64, numHiddenLayers: 4 });
    const plan = await selectUnits(madeUpScores(model.config), {
      dimensions: THREE,
      budget: "40% of blocks",
      layout: "masked",
      kinds,
      allocation: "global",
    });
    const zeros = await zeroCount(model, plan);
    expect(plan.parameters.removed).toBe(zeros);
    expect(Object.keys(plan.layers[0]!.cuts).length).toBeGreaterThan(2);
  });
});

describe("granularity matrix", () => {
  it("thresholds each matrix over all layers, by the maximum over documents, unscaled", async () => {
    const plan = await select({ granularity: "matrix", budget: "20% of blocks" }, { reference: (layer) => 10 ** layer });
    expect(plan.aggregate).toBe("max");
    expect(Math.abs(plan.parameters.removed - plan.parameters.requested)).toBeLessThanOrEqual(15);
    expect(plan.parameters.removed).toBe(await zeroCount(MODEL, plan));
    // Made-up relevances grow with the layer: one threshold removes most from the first.
    const counts = plan.layers.map((layer) => Object.values(layer.cuts).reduce((sum, cut) => sum + cut.removed.length, 0));
    expect(counts[0]).toBeGreaterThan(counts[3]!);
    // Rows of gate and up and columns of down have the same relevance, and are removed together, except the last unit.
    expect(plan.layers[0]!.cuts["matrix:gate"]!.removed).toEqual(plan.layers[0]!.cuts["matrix:up"]!.removed);
    // Every matrix loses the same share: relevances of different units of measure are not compared.
    expect(Object.keys(plan.layers[0]!.cuts).length).toBe(7);
  });

  it("leaves q and k out in families that normalise them", async () => {
    const qwen3 = tinyModel("qwen3").config;
    const plan = await selectUnits(madeUpScores(qwen3), {
      dimensions: THREE,
      budget: "20% of blocks",
      layout: "masked",
      granularity: "matrix",
    });
    const kinds = new Set(plan.layers.flatMap((layer) => Object.keys(layer.cuts)));
    expect(kinds).toEqual(new Set(["matrix:gate", "matrix:up", "matrix:down", "matrix:v", "matrix:o"]));
    await expect(
      selectUnits(madeUpScores(qwen3), {
        dimensions: THREE,
        budget: "20%",
        layout: "masked",
        granularity: "matrix",
        matrices: ["q", "v"],
      }),
    ).rejects.toMatchObject({ code: "LAYOUT_UNSUPPORTED", message: expect.stringMatching(/rows of q.*normalises.*Leave q out/) });
  });
});
