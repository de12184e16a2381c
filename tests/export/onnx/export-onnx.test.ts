/**
 * @file Models that `exportOnnx` writes, in ONNX Runtime, against a plain f64 forward pass on the stored weights.
 */

import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.ts";
import { exportOnnx } from "../../../src/export/onnx/export-onnx.ts";
import { ONNX_TYPE_FORMS, ONNX_TYPES } from "../../../src/export/onnx/types.ts";
import { exportModel } from "../../../src/pipeline/export.ts";
import { worstRelativeError } from "../../support/forward-goldens.ts";
import { postNormModel } from "../../support/norm-placement.ts";
import { type Cache, OnnxModel } from "../../support/onnx-model.ts";
import { readOnnxWeights } from "../../support/onnx-weights.ts";
import { RAGGED_CUTS, raggedFolder } from "../../support/ragged.ts";
import { referenceLogits } from "../../support/reference-forward.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel, writeTinyCheckpoint } from "../../support/tiny-models.ts";

const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];

/** As a share of the largest logit: sums of a few dozen products in f32 have an error of about 1e-7. */
const TOLERANCE = 1e-5;
/** Against the reference on the model's own weights, of which binary16 loses up to 2⁻¹². */
const FP16_TOLERANCE = 1e-2;
/**
 * The error if the runtime rounds each block of activations to eight bits: up to 1/254 of its largest value,
 * before each of the seven products of a layer, in models whose activations are noise.
 */
const INT8_TOLERANCE = 0.1;

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
    const model = await OnnxModel.load(path, { exact: true });

    const { logits } = await model.run([IDS]);
    const shapes = new Map(expert.tensors.map(({ name, shape }) => [name, shape]));
    const weights = readOnnxWeights(path, shapes);
    // The file holds 1 + w of Gemma's norms; the reference adds the 1 itself.
    if (family === "gemma3")
      for (const [name, { shape, values }] of weights)
        if (name.includes("norm")) weights.set(name, { shape, values: Float64Array.from(values, (value) => value - 1) });
    const expected = referenceLogits(expert.configJson, weights, IDS).flatMap((row) => [...row]);
    expect(worstRelativeError(logits.flat(2), expected)).toBeLessThan(TOLERANCE);
    const own = worstRelativeError(logits.flat(2), reference(IDS).flat());
    if (type === "f32") expect(own).toBeLessThan(TOLERANCE);
    if (type === "fp16") expect(own).toBeLessThan(FP16_TOLERANCE);

    const steps: number[][] = [];
    let cache: Cache | undefined;
    for (const id of IDS) {
      const step = await model.run([[id]], cache === undefined ? {} : { cache });
      cache = step.cache;
      steps.push(...step.logits[0]!);
    }
    expect(worstRelativeError(steps.flat(), logits.flat(2))).toBeLessThan(TOLERANCE);

    // A prompt in two pieces, as a chat's next turn.
    const first = await model.run([IDS.slice(0, 7)]);
    const second = await model.run([IDS.slice(7)], { cache: first.cache });
    expect(worstRelativeError(second.logits.flat(2), logits[0]!.slice(7).flat())).toBeLessThan(TOLERANCE);

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

    const asWritten = await OnnxModel.load(path);
    expect(worstRelativeError((await asWritten.run([IDS])).logits.flat(2), logits.flat(2))).toBeLessThan(INT8_TOLERANCE);
    await asWritten.close();
  });
});

test("a model with norms after its sublayers only has none before them", async () => {
  const model = postNormModel();
  const out = join(home, "onnx");
  await exportOnnx(tinyCheckpoint(model), out);
  const exported = await OnnxModel.load(join(out, "onnx", "model.onnx"));
  const { logits } = await exported.run([IDS]);
  await exported.close();
  const expected = referenceLogits(model.configJson, model.tensors, IDS).flatMap((row) => [...row]);
  expect(worstRelativeError(logits.flat(2), expected)).toBeLessThan(TOLERANCE);
});

test.each(ONNX_TYPES)("%s: weights in files next to the model are the same weights", async (type) => {
  const checkpoint = tinyCheckpoint(tinyModel("gemma3"));
  const { fileName } = ONNX_TYPE_FORMS[type];
  const [inside, beside] = [join(home, "inside"), join(home, "beside")];
  await exportOnnx(checkpoint, inside, { type });
  const limits = { inlineBytes: 0, smallBytes: 200, fileBytes: 8192 };
  const { files } = await exportOnnx(checkpoint, beside, { type, limits });
  const dataFiles = files.filter((name) => name.includes("_data"));
  expect(dataFiles.slice(0, 2)).toEqual([`onnx/${fileName}_data`, `onnx/${fileName}_data_1`]);
  const config = JSON.parse(await readFile(join(beside, "config.json"), "utf8")) as Record<string, unknown>;
  expect(config["transformers.js_config"]).toEqual({
    dtype: ONNX_TYPE_FORMS[type].dtype,
    use_external_data_format: { [fileName]: dataFiles.length },
  });
  for (const name of dataFiles) expect((await stat(join(beside, name))).size, name).toBeLessThanOrEqual(8192);
  const logits: number[][] = [];
  for (const folder of [inside, beside]) {
    const model = await OnnxModel.load(join(folder, "onnx", fileName));
    logits.push((await model.run([IDS])).logits.flat(2));
    await model.close();
  }
  expect(logits[1]).toEqual(logits[0]);
});

test("a tied head is stored once, a separate one in addition to the embedding", async () => {
  const sizes: number[] = [];
  for (const tied of [true, false]) {
    const written = await exportOnnx(tinyCheckpoint(tinyModel("qwen3", { tied })), join(home, String(tied)), { type: "q4" });
    sizes.push(written.parameters);
  }
  expect(sizes[1]! - sizes[0]!).toBe(48 * 30);
});

test("layers of different sizes are for the family's stock class, under its own name", async () => {
  await raggedFolder(tinyModel("gemma3"), RAGGED_CUTS, join(home, "expert"));
  const checkpoint = await openCheckpoint(join(home, "expert"));
  await exportOnnx(checkpoint, join(home, "onnx"));
  await checkpoint.close();
  const config = JSON.parse(await readFile(join(home, "onnx", "config.json"), "utf8")) as Record<string, unknown>;
  expect(config).toMatchObject({ model_type: "gemma3_text", architectures: ["Gemma3ForCausalLM"] });
  expect(config).not.toHaveProperty("auto_map");
});

test("refuses before it reads a weight, and leaves no file", async () => {
  const checkpoint = tinyCheckpoint(tinyModel("llama"));
  const untokenised = { ...checkpoint, readTokenizerFiles: async () => null };
  await expect(exportOnnx(untokenised, join(home, "a"))).rejects.toMatchObject({ code: "TOKENIZER_MISSING" });
  expect(await readdir(home)).toEqual([]);
  await mkdir(join(home, "a"));
  await writeFile(join(home, "a", "mine.txt"), "mine");
  await expect(exportOnnx(checkpoint, join(home, "a"))).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
  await writeFile(join(home, "b"), "mine");
  await expect(exportOnnx(checkpoint, join(home, "b"), { overwrite: true })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
  expect(checkpoint.reads).toEqual([]);
  await expect(exportOnnx(checkpoint, join(home, "a"), { overwrite: true })).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
  expect(await readdir(join(home, "a"))).toEqual(["mine.txt"]);
  await rm(join(home, "a", "mine.txt"));
  await exportOnnx(checkpoint, join(home, "a"));
  await exportOnnx(checkpoint, join(home, "a"), { overwrite: true });
  expect(await readdir(join(home, "a"))).toContain("onnx");
});

test("a value that binary16 cannot hold is reported, and no file is left", async () => {
  const model = tinyModel("llama");
  const name = "model.layers.1.mlp.up_proj.weight";
  const { shape, values } = model.tensors.get(name)!;
  const tensors = new Map(model.tensors).set(name, { shape, values: values.with(7, 1e5) });
  const checkpoint = tinyCheckpoint({ ...model, tensors });
  for (const type of ["fp16", "q4"] as const) {
    const exported = exportOnnx(checkpoint, join(home, type), { type });
    await expect(exported).rejects.toMatchObject({ code: "OUTPUT_DTYPE", message: expect.stringContaining(name) });
  }
  expect(await readdir(home)).toEqual([]);
  await exportOnnx(checkpoint, join(home, "f32"), { type: "f32" });
});

test("a type of another format is refused before anything is opened", async () => {
  const refused = exportModel({ model: join(home, "nothing"), to: "onnx", type: "Q4_K_M", out: join(home, "a") });
  await expect(refused).rejects.toMatchObject({ code: "USAGE", message: expect.stringMatching(/f32, fp16, q8, q4/) });
  const other = exportModel({ model: join(home, "nothing"), to: "gguf", type: "fp16", out: join(home, "a") });
  await expect(other).rejects.toMatchObject({ code: "USAGE", message: expect.stringMatching(/Q4_K_M/) });
});

test("unsupported rotary scaling is refused, and a model is not written over itself", async () => {
  const folder = join(home, "yarn");
  const model = tinyModel("qwen2");
  const scaled = { ...model.configJson, rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 } };
  await writeTinyCheckpoint(folder, { ...model, configJson: scaled });
  await expect(exportModel({ model: folder, to: "onnx", out: join(home, "out") })).rejects.toMatchObject({
    code: "CONFIG_UNSUPPORTED",
  });
  await writeTinyCheckpoint(folder, model);
  await expect(exportModel({ model: folder, to: "onnx", out: folder, overwrite: true })).rejects.toMatchObject({
    code: "OUTPUT_EXISTS",
  });
  expect(await readdir(home)).toEqual(["yarn"]);
});
