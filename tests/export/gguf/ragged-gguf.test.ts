/**
 * @file Layers of different sizes in GGUF files: the architectures that hold them, and what is refused.
 */

import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openGguf } from "../../../src/checkpoint/gguf/open-gguf.ts";
import { openCheckpoint } from "../../../src/checkpoint/open.ts";
import { exportGguf } from "../../../src/export/gguf/export-gguf.ts";
import { cutExpert } from "../../../src/surgery/expert.ts";
import { ourLogits, worstRelativeError } from "../../support/forward-goldens.ts";
import { planOf } from "../../support/plans.ts";
import { ggufOfTinyModel, writeGguf } from "../../support/gguf-writer.ts";
import { RAGGED_CUTS, raggedFolder } from "../../support/ragged.ts";
import { errorOf, withFile } from "../../support/temporary-gguf.ts";
import { tinyCheckpoint, tinyModel } from "../../support/tiny-models.ts";

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-ragged-gguf-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

test.each([
  { family: "llama", changes: {}, architecture: "deci", back: "llama" },
  { family: "llama", changes: { attentionBias: true }, architecture: "deci", back: "llama" },
  // The window, in which Mistral differs, is expressed by the context length.
  { family: "mistral", changes: {}, architecture: "deci", back: "llama" },
  { family: "qwen2", changes: {}, architecture: "deci", back: "qwen2" },
  { family: "qwen3", changes: { tied: true }, architecture: "openelm", back: "qwen3" },
] as const)("$family $changes as $architecture: every value is read back", async ({ family, changes, architecture, back }) => {
  const folder = join(home, "expert");
  const { reference } = await raggedFolder(tinyModel(family, changes), RAGGED_CUTS, folder);
  const expert = await openCheckpoint(folder);
  const file = join(home, "tiny.gguf");
  const written = await exportGguf(expert, file, { type: "F32" });
  expect(written.architecture).toBe(architecture);
  const read = await openGguf(file);
  expect(read.config.family).toBe(back);
  expect(read.config.layerSizes).toEqual(expert.config.layerSizes);
  expect(new Set(read.tensors.keys())).toEqual(new Set(expert.tensors.keys()));
  for (const name of read.tensors.keys()) expect(await read.readFloat32(name), name).toEqual(await expert.readFloat32(name));
  const ids = [1, 5, 7, 9, 3, 40].slice(0, written.contextLength);
  expect(worstRelativeError(await ourLogits(read, ids), reference(ids).flat())).toBeLessThan(2e-5);

  // Cut again, by masking, it is still a folder with its own Python file, in sizes that transformers accepts.
  const { configJson } = cutExpert(read, planOf("masked", [{}, {}, {}]));
  expect(configJson).toMatchObject({ layer_widths: [{ num_attention_heads: 3 }, {}, { intermediate_size: 24 }] });
  expect(30 % Number(configJson["num_attention_heads"])).toBe(0);
  await read.close();
  await expert.close();
});

test("the quantised rows of a fused tensor are split at their first bytes", async () => {
  const folder = join(home, "expert");
  await raggedFolder(tinyModel("qwen3", { tied: true, hiddenSize: 32 }), RAGGED_CUTS, folder);
  const expert = await openCheckpoint(folder);
  const file = join(home, "tiny.gguf");
  await exportGguf(expert, file, { type: "Q8_0" });
  const read = await openGguf(file);
  for (const part of ["q", "k", "v"]) {
    const name = `model.layers.1.self_attn.${part}_proj.weight`;
    expect(read.tensors.get(name)).toMatchObject({ dtype: "Q8_0", shape: [part === "q" ? 16 : 8, 32] });
    // Half a step of 1/127 of a block's largest value.
    expect(worstRelativeError(await read.readFloat32(name), await expert.readFloat32(name))).toBeLessThan(0.005);
  }
  await read.close();
  await expert.close();
});

test("Qwen2 with heads that do not fill the hidden size is written as a llama, but read as Qwen2", async () => {
  const folder = join(home, "expert");
  const uniform = [0, 1, 2].map(() => ({ head: [0, 2, 4] }));
  const { reference } = await raggedFolder(tinyModel("qwen2"), uniform, folder);
  const expert = await openCheckpoint(folder);
  const file = join(home, "tiny.gguf");
  expect((await exportGguf(expert, file, { type: "F32" })).architecture).toBe("llama");
  await expert.close();
  const read = await openGguf(file);
  expect(read.config.family).toBe("qwen2");
  expect(worstRelativeError(await ourLogits(read, [1, 5, 7, 9]), reference([1, 5, 7, 9]).flat())).toBeLessThan(2e-5);
  await read.close();
});

test.each([
  { family: "qwen3", found: /output head that is not the embedding/ },
  { family: "gemma3", found: /layers of different sizes/ },
] as const)("$family: no architecture of llama.cpp can hold it, and the error names the choices", async ({ family, found }) => {
  const folder = join(home, "expert");
  await raggedFolder(tinyModel(family), RAGGED_CUTS, folder);
  const expert = await openCheckpoint(folder);
  const exported = exportGguf(expert, join(home, "tiny.gguf"));
  await expect(exported).rejects.toMatchObject({ code: "EXPORT_UNSUPPORTED", message: expect.stringMatching(found) });
  await expect(exported).rejects.toThrow(/--layout uniform.*--layout masked/);
  await expert.close();
  expect(await readdir(home)).toEqual(["expert"]);
});

test.each([
  { intermediateSize: 0, numAttentionHeads: 6, numKeyValueHeads: 3 },
  { intermediateSize: 40, numAttentionHeads: 0, numKeyValueHeads: 0 },
  { intermediateSize: 40, numAttentionHeads: 4, numKeyValueHeads: 3 },
])("a layer that llama.cpp would compute wrongly is refused: %j", async (sizes) => {
  const checkpoint = tinyCheckpoint(tinyModel("llama"));
  const layerSizes = checkpoint.config.layerSizes.map((dense, layer) => (layer === 1 ? sizes : dense));
  const broken = { ...checkpoint, config: { ...checkpoint.config, layerSizes } };
  await expect(exportGguf(broken, join(home, "tiny.gguf"))).rejects.toMatchObject({
    code: "EXPORT_UNSUPPORTED",
    message: expect.stringMatching(/layer 1 with \d+ FFN units/),
  });
  expect(checkpoint.reads).toEqual([]);
});

/** A tiny Llama whose layers have the same size, with the name of the architecture whose layers may differ. */
function deci(widths: readonly number[], heads: readonly number[]): Uint8Array {
  const { metadata, tensors } = ggufOfTinyModel(tinyModel("llama"));
  const renamed = new Map(metadata.map(([key, value]) => [key.replace(/^llama\./, "deci."), value]));
  renamed.set("general.architecture", ["string", "deci"]);
  renamed.set("deci.feed_forward_length", ["array", "int32", [...widths]]);
  renamed.set("deci.attention.head_count", ["array", "int32", [...heads]]);
  return writeGguf({ metadata: [...renamed], tensors });
}

test.each([
  { sizes: "a layer without FFN", widths: [40, 0, 40], heads: [6, 6, 6], code: "GGUF_KEY_INVALID" },
  { sizes: "a layer without attention", widths: [40, 40, 40], heads: [6, 0, 6], code: "GGUF_KEY_INVALID" },
  { sizes: "too few layers", widths: [40, 41], heads: [6, 6, 6], code: "GGUF_KEY_INVALID" },
  { sizes: "sizes that differ from the tensors'", widths: [40, 32, 40], heads: [6, 6, 6], code: "TENSOR_SHAPE" },
  { sizes: "heads that do not divide evenly", widths: [40, 40, 40], heads: [6, 4, 6], code: "CONFIG_INVALID" },
])("a deci file with $sizes is refused", async ({ widths, heads, code }) => {
  expect((await errorOf(withFile(deci(widths, heads), openGguf))).code).toBe(code);
});

test("a deci file whose layers are all the same is a Llama", async () => {
  await withFile(deci([40, 40, 40], [6, 6, 6]), async (path) => {
    const read = await openGguf(path);
    expect(read.config.family).toBe("llama");
    expect(read.configJson["model_type"]).toBe("llama");
    await read.close();
  });
});
