/**
 * @file A made-up family passes through the whole program with only its entry (rimu.ts): the work that a new family
 * takes. Logits are compared with a forward pass in plain loops; the tolerance is that of f32 compared with f64 on five
 * tiny families (tests/model/forward.test.ts).
 */

import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { describeModel } from "../../src/checkpoint/inspect.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import type { Family } from "../../src/families/family.ts";
import { exportGguf } from "../../src/export/gguf/export-gguf.ts";
import { exportOnnx, onnxModelPath } from "../../src/export/onnx/export-onnx.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import { expertCheckpoint } from "../../src/surgery/expert-checkpoint.ts";
import { ourLogits, worstRelativeError } from "../support/forward-goldens.ts";
import { OnnxModel } from "../support/onnx-model.ts";
import { planOf } from "../support/plans.ts";
import { referenceLogits, type ReferenceTensor } from "../support/reference-forward.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyCheckpoint, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { RIMU } from "./rimu.ts";
import { asReference, tinyRimu } from "./tiny-rimu.ts";

vi.mock("../../src/families/table.ts", async (importOriginal) => {
  const { FAMILIES } = await importOriginal<{ readonly FAMILIES: readonly Family[] }>();
  const { RIMU: family } = await import("./rimu.ts");
  return { FAMILIES: [...FAMILIES, family] };
});

const IDS = [3, 17, 5, 44, 8, 21, 30, 2, 11];
const TOLERANCE = 2e-5;

/** Logits of a checkpoint from the reference, which reads its tensors and its config.json. */
async function expectedLogits({ tensors, configJson, readFloat32 }: Checkpoint): Promise<number[]> {
  const read = await Promise.all(
    [...tensors.values()].map(async ({ name, shape }): Promise<[string, ReferenceTensor]> => [
      name,
      { shape, values: await readFloat32(name) },
    ]),
  );
  return referenceLogits(configJson, asReference(new Map(read)), IDS).flatMap((row) => [...row]);
}

async function expectReferenceLogits(checkpoint: Checkpoint): Promise<void> {
  const bound = { ...checkpoint, readFloat32: checkpoint.readFloat32.bind(checkpoint) };
  const expected = await expectedLogits({ ...bound, tensors: checkpoint.tensors, configJson: checkpoint.configJson });
  expect(worstRelativeError(await ourLogits(checkpoint, IDS), expected)).toBeLessThan(TOLERANCE);
}

describe("a made-up family with norms after the sublayers only and its own tensor names", () => {
  test("is opened and described, and computes what the reference does", () =>
    withFolder(async (folder) => {
      const model = tinyRimu();
      await writeTinyCheckpoint(folder, model);
      const checkpoint = await openCheckpoint(folder);
      expect(checkpoint.config.family).toBe("rimu");
      await expectReferenceLogits(checkpoint);
      await checkpoint.close();
      const parameters = [...model.tensors.values()].reduce((sum, { values }) => sum + values.length, 0);
      expect(await describeModel(folder)).toMatchObject({ config: { family: "rimu" }, parameters: { total: parameters } });
    }));

  test("computes the same masked and sliced, also without whole layers", async () => {
    const checkpoint = tinyCheckpoint(tinyRimu());
    const removed = { ffn: [0, 7, 8, 39], "kv-group": [1] };
    const [masked, sliced] = (["masked", "uniform"] as const).map((layout) => {
      const plan = planOf(layout, [removed, removed, removed]);
      return expertCheckpoint(checkpoint, plan, cutExpert(checkpoint, plan));
    });
    expect(sliced!.config.layerSizes[0]).toMatchObject({ intermediateSize: 36, numKeyValueHeads: 2 });
    expect(worstRelativeError(await ourLogits(sliced!, IDS), await ourLogits(masked!, IDS))).toBeLessThan(TOLERANCE);
    await expectReferenceLogits(sliced!);

    const plan = planOf("uniform", [{}, { layer: [0] }, {}]);
    const shorter = expertCheckpoint(checkpoint, plan, cutExpert(checkpoint, plan));
    expect([...shorter.tensors.keys()].filter((name) => name.includes(".h."))).not.toContain("transformer.h.2.attn.wq.weight");
    await expectReferenceLogits(shorter);
  });

  test("is pruned, repaired, written, opened again and exported", () =>
    withFolder(async (folder) => {
      const model = join(folder, "model");
      await writeTinyCheckpoint(model, tinyRimu());
      const report = await pruneModel({
        model,
        corpora: { language: [await writeTinyCorpus(join(folder, "language.jsonl"))] },
        corpusOptions: { documents: 8, heldOutDocuments: 3 },
        selection: { budget: "20% of blocks", layout: "uniform", kinds: ["ffn", "kv-group"], snap: 4 },
        out: join(folder, "expert"),
        work: join(folder, "work"),
      });
      expect(report).toMatchObject({ family: "rimu", repair: { documents: 8 } });
      const expert = await openCheckpoint(join(folder, "expert"));
      expect(expert.configJson["model_type"]).toBe("rimu");
      await expectReferenceLogits(expert);
      await exportOnnx(expert, join(folder, "onnx"));
      const onnx = await OnnxModel.load(onnxModelPath(join(folder, "onnx"), "f32"));
      const { logits } = await onnx.run([IDS]);
      expect(worstRelativeError(logits.flat(2), await ourLogits(expert, IDS))).toBeLessThan(TOLERANCE);
      await onnx.close();
      await expect(exportGguf(expert, join(folder, "expert.gguf"))).rejects.toMatchObject({ code: "EXPORT_UNSUPPORTED" });
      await expert.close();
    }));

  test("has all its properties in its entry", () => {
    expect(Object.keys(RIMU).toSorted()).toEqual(
      [
        "configRules",
        "deciLM",
        "ggufArchitectures",
        "modelTypes",
        "name",
        "normOffset",
        "optionalRoles",
        "requiredRoles",
        "stockHeads",
        "tensorNames",
        "textStart",
        "transformers",
      ].toSorted(),
    );
  });
});
