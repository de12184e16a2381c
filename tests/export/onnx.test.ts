/**
 * @file What `exportOnnx` writes, in ONNX Runtime: the logits of the plain f64 forward pass on the weights as they are stored.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { exportOnnx } from "../../src/export/onnx.ts";
import { ONNX_TYPE_FORMS, ONNX_TYPES } from "../../src/export/onnx-types.ts";
import { worstRelativeError } from "../support/forward-goldens.ts";
import { type Cache, OnnxModel } from "../support/onnx-model.ts";
import { readOnnxWeights } from "../support/onnx-weights.ts";
import { RAGGED_CUTS, raggedFolder } from "../support/ragged.ts";
import { referenceLogits } from "../support/reference-forward.ts";
import { TINY_FAMILIES, tinyModel } from "../support/tiny-models.ts";

const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];

/** Everything is computed in f32, whose sums of a few dozen products err by some 1e-7 of them; as a share of the largest logit. */
const TOLERANCE = 1e-5;
/** How far the stored weights' logits are from the model's own, by type: 2⁻¹¹ of each weight for fp16, and what the blocks lose. */
const STORAGE_TOLERANCE = { f32: TOLERANCE, fp16: 1e-2, q8: 0.1, q4: 1 } as const;

const ones = (count: number): number[] => Array.from({ length: count }, () => 1);

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-onnx-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

const CASES = ONNX_TYPES.flatMap((type) => [
  { type, layout: "uniform", cuts: [{}, {}, {}] },
  { type, layout: "ragged", cuts: RAGGED_CUTS },
]);

describe.each(TINY_FAMILIES)("%s", (family) => {
  test.each(CASES)("$type, $layout: the reference's logits, at once, step by step and padded", async ({ type, cuts }) => {
    const folder = join(home, "expert");
    const { reference, expert } = await raggedFolder(tinyModel(family), cuts, folder);
    const checkpoint = await openCheckpoint(folder);
    const out = join(home, "onnx");
    await exportOnnx(checkpoint, out, { type });
    await checkpoint.close();
    const path = join(out, "onnx", ONNX_TYPE_FORMS[type].fileName);
    const model = await OnnxModel.load(path);

    const { logits } = await model.run([IDS]);
    const shapes = new Map(expert.tensors.map(({ name, shape }) => [name, shape]));
    const weights = readOnnxWeights(path, shapes);
    // The file holds 1 + w of Gemma's norms; the reference adds the 1 itself.
    if (family === "gemma3")
      for (const [name, { shape, values }] of weights)
        if (name.includes("norm")) weights.set(name, { shape, values: Float64Array.from(values, (value) => value - 1) });
    const expected = referenceLogits(expert.configJson, weights, IDS).flatMap((row) => [...row]);
    expect(worstRelativeError(logits.flat(2), expected)).toBeLessThan(TOLERANCE);
    expect(worstRelativeError(logits.flat(2), reference(IDS).flat())).toBeLessThan(STORAGE_TOLERANCE[type]);

    const steps: number[][] = [];
    let cache: Cache | undefined;
    for (const id of IDS) {
      const step = await model.run([[id]], cache === undefined ? {} : { cache });
      cache = step.cache;
      steps.push(...step.logits[0]!);
    }
    expect(worstRelativeError(steps.flat(), logits.flat(2))).toBeLessThan(TOLERANCE);

    // Two documents, one shorter: padded on the left, then on the right; then both go on by a token.
    const short = IDS.slice(0, 9);
    const left = await model.run([[0, 0, 0, ...short], IDS], { mask: [[0, 0, 0, ...ones(9)], ones(12)] });
    expect(worstRelativeError(left.logits[0]!.slice(3).flat(), logits[0]!.slice(0, 9).flat())).toBeLessThan(TOLERANCE);
    expect(worstRelativeError(left.logits[1]!.flat(), logits.flat(2))).toBeLessThan(TOLERANCE);
    const right = await model.run([[...short, 0, 0, 0], IDS], { mask: [[...ones(9), 0, 0, 0], ones(12)] });
    expect(worstRelativeError(right.logits[0]!.slice(0, 9).flat(), logits[0]!.slice(0, 9).flat())).toBeLessThan(TOLERANCE);
    const next = await model.run([[IDS[9]!], [4]], { mask: [[0, 0, 0, ...ones(10)], ones(13)], cache: left.cache });
    expect(worstRelativeError(next.logits[0]!.flat(), logits[0]![9]!)).toBeLessThan(TOLERANCE);

    const last = await model.run([IDS], { kept: 2 });
    expect(last.logits[0]!.length).toBe(2);
    expect(worstRelativeError(last.logits.flat(2), logits[0]!.slice(-2).flat())).toBeLessThan(TOLERANCE);
    await model.close();
  });
});
