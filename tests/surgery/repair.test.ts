/** @file Repair, against its formula and against cuts for which the perfect repair is known. */

import { afterAll, describe, expect, test } from "vitest";
import type { Layout } from "../../src/selection/plan.ts";
import { cutExpert, type Expert, wholeExpert } from "../../src/surgery/expert.ts";
import { NormalEquations } from "../../src/surgery/normal-equations.ts";
import { Products } from "../../src/surgery/products.ts";
import { Projection } from "../../src/surgery/projection.ts";
import { fitMatrix, RIDGE_STRENGTHS } from "../../src/surgery/repair-fit.ts";
import type { RepairedMatrix } from "../../src/surgery/repair.ts";
import { postNormModel } from "../support/norm-placement.ts";
import { planOf } from "../support/plans.ts";
import type { Removed } from "../support/plans.ts";
import { referenceLogits, type ReferenceTensor } from "../support/reference-forward.ts";
import { withRepaired } from "../support/repaired.ts";
import { TINY_FAMILIES, seededNormal, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";
import type { TinyModel } from "../support/tiny-models.ts";

const products = new Products();
afterAll(async () => {
  await products.close();
});

/** Sums from inputs A [tokens, n] and targets Y [tokens, D]. */
async function equationsOf(name: string, a: readonly number[][], y: readonly number[][]): Promise<NormalEquations> {
  const equations = new NormalEquations(products, name, a[0]!.length, new Projection(y[0]!.length));
  await equations.add(Float32Array.from(a.flat()), Float32Array.from(y.flat()), [0, a.length], null);
  await equations.finish();
  return equations;
}

/** c with the least squared error of c·wanted. */
function closestScale(values: Float32Array, wanted: (index: number) => number): number {
  const product = values.reduce((sum, value, index) => sum + value * wanted(index), 0);
  return product / values.reduce((sum, _, index) => sum + wanted(index) ** 2, 0);
}

describe("fitting one matrix", () => {
  // Whatever the strength that the search begins with.
  test.each(RIDGE_STRENGTHS)("from λ = %d: solves (G + λD) W' = C + λD·W on all documents", async (first) => {
    const random = seededNormal(3);
    const [n, D] = [7, 4];
    const truth = Float32Array.from({ length: n * D }, random);
    const sample = (tokens: number): { readonly a: number[][]; readonly y: number[][] } => {
      const a = Array.from({ length: tokens }, () => Array.from({ length: n }, random));
      const y = a.map((row) => Array.from({ length: D }, (_, d) => row.reduce((sum, x, i) => sum + x * truth[i * D + d]!, 0)));
      return { a, y };
    };
    const [training, heldBack] = [sample(60), sample(20)];
    const kept = truth.map((value) => value * 0.5);
    const { weights, strength, errorBefore, errorAfter } = await fitMatrix(
      products,
      await equationsOf("training", training.a, training.y),
      await equationsOf("held back", heldBack.a, heldBack.y),
      new Projection(D),
      kept,
      first,
    );
    // Targets without noise are fitted best with the weakest ridge.
    expect(strength).toBe(0.1);
    expect(errorAfter).toBeLessThan(0.05 * errorBefore);
    const [a, y] = [
      [...training.a, ...heldBack.a],
      [...training.y, ...heldBack.y],
    ];
    const gram = (i: number, j: number): number => a.reduce((sum, row) => sum + row[i]! * row[j]!, 0);
    for (let i = 0; i < n; i++) {
      for (let d = 0; d < D; d++) {
        const ridge = 0.1 * gram(i, i);
        let left = ridge * weights[i * D + d]!;
        for (let j = 0; j < n; j++) left += gram(i, j) * weights[j * D + d]!;
        const right = a.reduce((sum, row, token) => sum + row[i]! * y[token]![d]!, 0) + ridge * kept[i * D + d]!;
        // The share that keeps dead inputs solvable is 1e-6 of the mean energy.
        expect(Math.abs(left - right)).toBeLessThan(1e-4 * Math.abs(right) + 1e-3);
      }
    }
  });

  test("keeps the weights if no fit is better on the held-back documents", async () => {
    const random = seededNormal(4);
    const noise = (tokens: number): number[][] => Array.from({ length: tokens }, () => Array.from({ length: 5 }, random));
    const training = await equationsOf("training", noise(3), noise(3));
    // Held-back documents for which the kept weights (zero) are already the best.
    const zeros = Array.from({ length: 40 }, () => [0, 0, 0, 0, 0]);
    const heldBack = await equationsOf("held back", noise(40), zeros);
    const kept = new Float32Array(25);
    const fit = await fitMatrix(products, training, heldBack, new Projection(5), kept, 1);
    expect(fit.strength).toBeNull();
    expect(fit.weights).toBe(kept);
    expect(fit.errorAfter).toBe(fit.errorBefore);
  });

  test("keeps the weights of an input that is always 0", async () => {
    const random = seededNormal(5);
    const a = Array.from({ length: 30 }, () => [random(), 0, random()]);
    const y = a.map(([first, , third]) => [first! + 2 * third!]);
    const fit = await fitMatrix(
      products,
      await equationsOf("training", a.slice(0, 20), y.slice(0, 20)),
      await equationsOf("held back", a.slice(20), y.slice(20)),
      new Projection(1),
      Float32Array.of(0.5, 7, 0.5),
      1,
    );
    expect(fit.strength).not.toBeNull();
    expect(fit.weights[1]).toBeCloseTo(7, 6);
  });
});

describe.each(TINY_FAMILIES)("repairing a tiny %s", (family) => {
  /** Repairs a cut of the model and returns the report and the repaired matrices. */
  async function repair(
    model: TinyModel,
    layout: Layout,
    removed: Removed,
  ): Promise<{ report: readonly RepairedMatrix[]; down: (layer: number) => Promise<Float32Array> }> {
    const { numHiddenLayers } = model.config;
    const plan = planOf(
      layout,
      Array.from({ length: numHiddenLayers }, () => removed),
    );
    return withRepaired(tinyCheckpoint(model), plan, async ({ expert, report }) => {
      const repaired = new Map<number, Float32Array>();
      for (let layer = 0; layer < numHiddenLayers; layer++) {
        const name = `model.layers.${layer}.mlp.down_proj.weight`;
        const tensor = expert.tensors.find((candidate) => candidate.name === name);
        const isFitted = report.some(({ layer: at, step, strength }) => at === layer && step === "down" && strength !== null);
        expect(tensor!.readBytes === null).toBe(isFitted);
        repaired.set(layer, await tensor!.readFloat32());
      }
      return { report, down: async (layer) => repaired.get(layer)! };
    });
  }

  test("restores removed units if a duplicate of each is kept", async () => {
    const model = tinyModel(family);
    const F = model.config.layerSizes[0]!.intermediateSize;
    // Unit 2i + 1 becomes a copy of unit 2i in gate and up: the kept one can do the work of both.
    for (const [name, { shape, values }] of model.tensors) {
      if (!/(gate|up)_proj\.weight$/.test(name)) continue;
      const D = shape[1]!;
      for (let unit = 0; unit + 1 < F; unit += 2) values.copyWithin((unit + 1) * D, unit * D, (unit + 1) * D);
    }
    const removed = Array.from({ length: F / 2 }, (_, index) => 2 * index + 1);
    const { report, down } = await repair(model, "uniform", { ffn: removed });
    const { numHiddenLayers: L } = model.config;
    const steps = Array.from({ length: L }, (_, layer) => (layer === 0 ? ["down"] : ["attentionInput", "ffnInput", "down"]));
    expect(report.map(({ step }) => step)).toEqual(steps.flat());
    // After the first layer next to nothing is left to repair.
    for (const { layer, strength, errorShare } of report.filter((each) => each.layer === 0)) {
      expect(strength).not.toBeNull();
      // Ridge of 0.1 leaves less than a tenth of the missing part, a hundredth in energy.
      expect(errorShare).toBeLessThan(0.1);
      const original = model.tensors.get(`model.layers.${layer}.mlp.down_proj.weight`)!;
      const repaired = await down(layer);
      const both = (index: number): number => original.values[2 * index]! + original.values[2 * index + 1]!;
      // With a post norm the scale of the matrix has no effect.
      const scale = family === "gemma3" ? closestScale(repaired, both) : 1;
      let [missing, wanted] = [0, 0];
      for (const [index, value] of repaired.entries()) {
        missing += (value / scale - both(index)) ** 2;
        wanted += original.values[2 * index + 1]! ** 2;
      }
      if (layer === 0) expect(missing / wanted).toBeLessThan(0.1);
    }
  });

  test("begins with the attention's output if the attention was cut, and never increases the held-back error", async () => {
    const { report } = await repair(tinyModel(family), "masked", { "kv-group": [1], ffn: [0, 3, 5, 6] });
    expect(report.slice(0, 3).map(({ step }) => step)).toEqual(["o", "ffnInput", "down"]);
    for (const { errorShare, strength } of report) {
      expect(errorShare).toBeLessThanOrEqual(1);
      if (strength === null) expect(errorShare).toBe(1);
    }
  });
});

test("with a post norm, repair brings a sublayer's contribution nearer to the dense model's", async () => {
  const model = tinyModel("gemma3");
  const plan = planOf("masked", [{ ffn: [0, 3, 5, 6, 8, 9] }, ...model.config.layerSizes.slice(1).map(() => ({}))]);
  const prefix = "model.layers.0.mlp.down_proj.weight";
  const dense = model.tensors;
  await withRepaired(tinyCheckpoint(model, "F32"), plan, async ({ documents, expert, report }) => {
    expect(report[0]).toMatchObject({ layer: 0, step: "down", strength: expect.any(Number) as number });
    const repaired = new Map<string, ReferenceTensor>();
    for (const { name, shape, readFloat32 } of expert.tensors) repaired.set(name, { shape, values: await readFloat32() });
    const cut = new Map(repaired).set(prefix, dense.get(prefix)!);
    const norm = dense.get("model.layers.0.post_feedforward_layernorm.weight")!.values;
    /** The contribution of the first layer's FFN to the stream, token by token. */
    const added = (tensors: ReadonlyMap<string, ReferenceTensor>): number[] =>
      documents.flatMap((document) => {
        const rows: number[] = [];
        const { shape, values } = tensors.get(prefix)!;
        referenceLogits(expert.configJson, tensors, [...document.tokens], (name, x) => {
          if (name !== prefix) return;
          const out = Array.from({ length: shape[0]! }, (_, d) =>
            x.reduce((sum, value, i) => sum + value * values[d * x.length + i]!, 0),
          );
          const rms = Math.sqrt(out.reduce((sum, value) => sum + value ** 2, 0) / out.length + model.config.rmsNormEps);
          rows.push(...out.map((value, d) => (value / rms) * (1 + norm[d]!)));
        });
        return rows;
      });
    const wanted = added(dense);
    const error = (rows: readonly number[]): number => rows.reduce((sum, value, index) => sum + (value - wanted[index]!) ** 2, 0);
    expect(error(added(repaired))).toBeLessThan(0.9 * error(added(cut)));
  });
});

test("without norms before the sublayers, repair fits their inputs and brings logits nearer to the dense model's", async () => {
  const model = postNormModel();
  const plan = planOf("masked", [{ ffn: [0, 3, 5, 6, 8, 9] }, { ffn: [1, 2] }, {}]);
  await withRepaired(tinyCheckpoint(model), plan, async ({ documents, expert, report }) => {
    expect(report.filter(({ step, strength }) => step === "attentionInput" && strength !== null)).not.toHaveLength(0);
    const cut = cutExpert(tinyCheckpoint(model), plan);
    const logitsOf = async ({ tensors }: Expert): Promise<number[]> => {
      const values = new Map<string, ReferenceTensor>();
      for (const { name, shape, readFloat32 } of tensors) values.set(name, { shape, values: await readFloat32() });
      return documents.flatMap(({ tokens }) =>
        referenceLogits(expert.configJson, values, [...tokens]).flatMap((row) => [...row]),
      );
    };
    const dense = await logitsOf(wholeExpert(tinyCheckpoint(model)));
    const error = (logits: readonly number[]): number => logits.reduce((sum, value, at) => sum + (value - dense[at]!) ** 2, 0);
    expect(error(await logitsOf(expert))).toBeLessThan(0.9 * error(await logitsOf(cut)));
  });
});
