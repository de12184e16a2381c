/**
 * @file Folders written by `exportOnnx` in stock transformers.js: tiny models of every family, and a pruned SmolLM2 in
 * the pipeline.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { createTokenizer } from "../../src/corpora/tokenizer.ts";
import { writeHuggingFaceFolder } from "../../src/export/hugging-face/write-hugging-face.ts";
import { exportOnnx } from "../../src/export/onnx/export-onnx.ts";
import { ONNX_TYPE_FORMS } from "../../src/export/onnx/types.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import { cardInput } from "../support/cards.ts";
import { ourLogits, worstRelativeError } from "../support/forward-goldens.ts";
import { OnnxModel } from "../support/onnx-model.ts";
import { planOf } from "../support/plans.ts";
import { greedyIds, RAGGED_CUTS, raggedFolder } from "../support/ragged.ts";
import { realModel } from "../support/real-models.ts";
import { TINY_FAMILIES, tinyModel } from "../support/tiny-models.ts";
import { continueIds, continueText } from "./transformers-js.ts";

const IDS = [1, 5, 7, 9, 3, 40];
const END = 2;
/** f32 against f64, relative to the largest logit. */
const TOLERANCE = 1e-5;
/** f32 against f32, after thirty layers. */
const REAL_TOLERANCE = 1e-4;
/**
 * Maximum error of a logit due to the storage type of the weights, relative to the largest logit. The additional error
 * of the runtime's 8-bit activations does not depend on the file; docs/LOG.md has the bits per byte.
 */
const STORAGE_TOLERANCES = { fp16: 1e-2, q8: 5e-2, q4: 0.5 } as const;

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-onnx-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

const LAYOUTS = [
  { layout: "uniform", cuts: [{}, {}, {}] },
  { layout: "ragged", cuts: RAGGED_CUTS },
];

test.each(TINY_FAMILIES.flatMap((family) => LAYOUTS.map((layout) => ({ family, ...layout }))))(
  "$family, $layout: the reference's logits and continuation",
  async ({ family, cuts }) => {
    const { reference } = await raggedFolder(tinyModel(family), cuts, join(home, "expert"));
    const expert = await openCheckpoint(join(home, "expert"));
    const out = join(home, "onnx");
    await exportOnnx(expert, out);
    await expert.close();
    const { logits, generated } = await continueIds(out, IDS, 8);
    expect(worstRelativeError(logits.flat(), reference(IDS).flat())).toBeLessThan(TOLERANCE);
    const expected = greedyIds(reference, IDS, 8);
    const end = expected.indexOf(END);
    expect(generated).toEqual(end === -1 ? expected : expected.slice(0, end + 1));
  },
);

test("a pruned SmolLM2: our logits, our greedy text in the pipeline, and its other types", async () => {
  const model = await openCheckpoint(await realModel("smollm2"));
  // An arbitrary eighth of the FFN units of every layer: only the computation is tested.
  const removed = Array.from({ length: 192 }, (_, unit) => 8 * unit);
  const plan = planOf(
    "uniform",
    Array.from({ length: model.config.numHiddenLayers }, () => ({ ffn: removed })),
  );
  const folder = join(home, "expert");
  const tokenizerFiles = (await model.readTokenizerFiles())!;
  await writeHuggingFaceFolder(cutExpert(model, plan), tokenizerFiles, folder, { plan, card: cardInput(model.config) });
  await model.close();
  const expert = await openCheckpoint(folder);
  const tokenizer = createTokenizer(tokenizerFiles, folder);
  const prompt = "The heart pumps blood through";
  const ids = [...tokenizer.encode(prompt)];

  const f32 = join(home, "f32");
  await exportOnnx(expert, f32, { type: "f32" });
  const { logits } = await continueIds(f32, ids, 1);
  const ours = await ourLogits(expert, ids);
  expect(worstRelativeError(logits.flat(), ours)).toBeLessThan(REAL_TOLERANCE);
  const continued = [...ids];
  for (let made = 0; made < 12; made++) {
    const last = (await ourLogits(expert, continued)).slice(-expert.config.vocabSize);
    continued.push(last.reduce((best, value, id) => (value > last[best]! ? id : best), 0));
  }
  const text = tokenizer.decode(Int32Array.from(continued));
  expect(await continueText(f32, prompt, 12)).toBe(text);

  for (const [type, tolerance] of Object.entries(STORAGE_TOLERANCES) as [keyof typeof STORAGE_TOLERANCES, number][]) {
    const out = join(home, type);
    await exportOnnx(expert, out, { type });
    const { dtype, fileName } = ONNX_TYPE_FORMS[type];
    const path = join(out, "onnx", fileName);
    const [asWritten, exact] = [await OnnxModel.load(path), await OnnxModel.load(path, { exact: true })];
    const found = await continueIds(out, ids, 1, dtype);
    const here = (await asWritten.run([ids])).logits.flat(2);
    expect(worstRelativeError(found.logits.flat(), here), `${type} in transformers.js`).toBeLessThan(REAL_TOLERANCE);
    expect(worstRelativeError((await exact.run([ids])).logits.flat(2), ours), type).toBeLessThan(tolerance);
    await asWritten.close();
    await exact.close();
    // The folder itself records its type.
    expect(await continueText(out, prompt, 4), type).toMatch(/^The heart pumps blood through\b/);
  }
  await expert.close();
});
