/**
 * @file Models that llama.cpp would load wrongly are refused before a weight is read; cusprun's own reader reads back
 * everything that is written.
 */

import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { TokenizerFiles } from "../../../src/checkpoint/checkpoint.ts";
import { openGguf } from "../../../src/checkpoint/gguf/open-gguf.ts";
import { exportGguf } from "../../../src/export/gguf/export-gguf.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel } from "../../support/tiny-models.ts";

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-gguf-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

const VOCAB = Object.fromEntries(Array.from({ length: 48 }, (_, id) => [String.fromCodePoint(0x100 + id), id]));
const TOKENIZER: TokenizerFiles = {
  tokenizerJson: {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    model: { type: "BPE", vocab: VOCAB, merges: [] },
  },
  tokenizerConfig: {},
  files: new Map(),
};

test.each(TINY_FAMILIES)("%s: every value is read back", async (family) => {
  const checkpoint = { ...tinyCheckpoint(tinyModel(family, { hiddenSize: 48 })), readTokenizerFiles: async () => TOKENIZER };
  const file = join(home, "tiny.gguf");
  const written = await exportGguf(checkpoint, file, { type: "F32" });
  const back = await openGguf(file);
  expect(back.config).toMatchObject({ hiddenSize: 48, headDim: 8, maxPositionEmbeddings: written.contextLength });
  expect(new Set(back.tensors.keys())).toEqual(new Set(checkpoint.tensors.keys()));
  const scaled = family === "gemma3" ? /q_norm/ : /^$/; // Gemma's query norm absorbs the attention's scale
  for (const name of [...back.tensors.keys()].filter((tensor) => !scaled.test(tensor))) {
    const [found, expected] = [await back.readFloat32(name), await checkpoint.readFloat32(name)];
    // 1 + w − 1 in f32 has an error of half a unit in the last place of 2.
    expect(Math.max(...found.map((value, i) => Math.abs(value - expected[i]!))), name).toBeLessThan(2e-7);
  }
  await back.close();
});

test("refuses before it reads a weight, and leaves no file behind", async () => {
  const model = tinyModel("qwen3");
  const rope = { theta: 10_000, scaling: { type: "factors", factors: [1, 1, 2, 2] } } as const;
  const config = { ...model.config, rope: { full_attention: rope, sliding_attention: rope } };
  const checkpoint = tinyCheckpoint({ ...model, config });
  await expect(exportGguf(checkpoint, join(home, "a.gguf"))).rejects.toMatchObject({ code: "EXPORT_UNSUPPORTED" });
  const plain = tinyCheckpoint(model);
  await expect(exportGguf({ ...plain, readTokenizerFiles: async () => null }, join(home, "a.gguf"))).rejects.toMatchObject({
    code: "TOKENIZER_MISSING",
  });
  // A word-level tokenizer has no equivalent in llama.cpp.
  await expect(exportGguf(plain, join(home, "a.gguf"))).rejects.toMatchObject({ code: "TOKENIZER_UNSUPPORTED" });
  expect([...checkpoint.reads, ...plain.reads]).toEqual([]);
  expect(await readdir(home)).toEqual([]);
});
