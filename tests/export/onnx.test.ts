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
import { OnnxModel } from "../support/onnx-model.ts";
import { RAGGED_CUTS, raggedFolder } from "../support/ragged.ts";
import { TINY_FAMILIES, tinyModel } from "../support/tiny-models.ts";

const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-onnx-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

const NO_CUTS = [{}, {}, {}];

describe.each(TINY_FAMILIES)("%s", (family) => {
  test.each(ONNX_TYPES.flatMap((type) => [{ type, cuts: NO_CUTS }, { type, cuts: RAGGED_CUTS }]))("$type $cuts", async ({ type, cuts }) => {
    const folder = join(home, "expert");
    const { reference } = await raggedFolder(tinyModel(family), cuts, folder);
    const checkpoint = await openCheckpoint(folder);
    const out = join(home, "onnx");
    await exportOnnx(checkpoint, out, { type });
    await checkpoint.close();
    const model = await OnnxModel.load(join(out, "onnx", ONNX_TYPE_FORMS[type].fileName));
    const { logits } = await model.run([IDS]);
    console.log(type, family, worstRelativeError(logits.flat(2), reference(IDS).flat()));
    let cache;
    const steps = [];
    for (const id of IDS) {
      const step = await model.run([[id]], cache === undefined ? {} : { cache });
      cache = step.cache;
      steps.push(...step.logits[0]!);
    }
    console.log("  steps", worstRelativeError(steps.flat(), logits.flat(2)));
    const padded = await model.run([[0, 0, ...IDS.slice(0, 10)], IDS], { mask: [[0, 0, ...Array.from({ length: 10 }, () => 1)], Array.from({length: 12}, () => 1)] });
    console.log("  padded", worstRelativeError(padded.logits[0]!.slice(2).flat(), logits[0]!.slice(0, 10).flat()), worstRelativeError(padded.logits[1]!.flat(), logits[0]!.flat()));
    await model.close();
  });
});
