/** @file Importances that repair records, against a plain f64 pass of the repaired model. */

import { expect, test } from "vitest";
import { ImportanceSums } from "../../src/surgery/importance.ts";
import { postNormModel } from "../support/norm-placement.ts";
import { planOf } from "../support/plans.ts";
import { referenceLogits, type ReferenceTensor } from "../support/reference-forward.ts";
import { withRepaired } from "../support/repaired.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

/** f32 against f64; hidden states differ by 2e-5 of the largest at most, and are squared. */
const TOLERANCE = 1e-4;

const MODELS = [
  ...TINY_FAMILIES.map((family) => ({ label: family, model: tinyModel(family) })),
  { label: "norms after the sublayers only", model: postNormModel() },
];

test.each(MODELS)("$label: of every matrix, the mean square of its input in the repaired model", ({ model }) =>
  // The first layer is not cut, nor is the attention of the second.
  withRepaired(tinyCheckpoint(model), planOf("masked", [{}, { ffn: [0, 3] }, { "kv-group": [1], ffn: [5] }]), async (made) => {
    const { documents, expert } = made;
    const tensors = new Map<string, ReferenceTensor>();
    for (const { name, shape, readFloat32 } of expert.tensors) tensors.set(name, { shape, values: await readFloat32() });
    const sums = new Map<string, Float64Array>();
    let tokens = 0;
    for (const document of documents) {
      tokens += document.tokens.length;
      referenceLogits(expert.configJson, tensors, [...document.tokens], (name, x) => {
        const sum = sums.get(name) ?? new Float64Array(x.length);
        for (const [column, value] of x.entries()) sum[column] = sum[column]! + value ** 2;
        sums.set(name, sum);
      });
    }
    const known = expert.tensors.filter(({ readImportance }) => readImportance !== undefined);
    expect(new Set(known.map(({ name }) => name))).toEqual(new Set(sums.keys()));
    for (const { name, readImportance } of known) {
      const expected = sums.get(name)!.map((sum) => sum / tokens);
      const mean = expected.reduce((sum, value) => sum + value, 0) / expected.length;
      const importance = await readImportance!();
      expect(importance).toHaveLength(expected.length);
      for (const [column, value] of expected.entries()) {
        // The activations of units that were zeroed are zero.
        const atLeast = Math.max(value, 1e-6 * mean);
        expect(Math.abs(importance[column]! - atLeast), name).toBeLessThan(TOLERANCE * (atLeast + mean));
        expect(importance[column]).toBeGreaterThan(0);
      }
    }
  }),
);

test("columns of an input that is always zero are equally important", () => {
  const sums = new ImportanceSums();
  const zeros = new Float32Array(3);
  sums.add({ attentionInputSquares: zeros, oSquares: zeros, ffnInputSquares: Float32Array.of(6, 0, 12), downSquares: zeros });
  const importances = sums.means(3);
  expect(importances.get("down")).toEqual(Float32Array.of(1, 1, 1));
  expect(importances.get("ffnInput")).toEqual(Float32Array.of(2, 2e-6, 4));
});
