/**
 * @file Files written by `exportGguf` in stock llama.cpp: tiny models of every family against the logits of
 * transformers, numbers of heads that do not divide the hidden size, and SmolLM2 with its tokenizer.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Checkpoint, TokenizerFiles } from "../../src/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { exportGguf } from "../../src/export/gguf/export-gguf.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import { expertCheckpoint } from "../../src/surgery/expert-checkpoint.ts";
import { openTinyGoldens, TINY_MODELS, worstRelativeError } from "../support/forward-goldens.ts";
import { readGolden } from "../support/gguf-tokenizers.ts";
import { planOf } from "../support/plans.ts";
import { realModel } from "../support/real-models.ts";
import { referenceLogits } from "../support/reference-forward.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";
import { logSoftmax, runLlamaCpp } from "./llama-cpp.ts";

/**
 * Relative to the largest log probability: llama.cpp stores keys and values in F16, with a relative rounding error of
 * up to 5e-4.
 */
const TOLERANCE = 1e-3;

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-gguf-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

/** A tokenizer with as many one-character byte-level tokens as the model has rows: tiny models are run on ids. */
function withTinyTokenizer(checkpoint: Checkpoint): Checkpoint {
  const { vocabSize } = checkpoint.config;
  const vocab = Object.fromEntries(Array.from({ length: vocabSize }, (_, id) => [String.fromCodePoint(0x100 + id), id]));
  const tokenizerJson = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: { type: "BPE", vocab, merges: [] },
  };
  const files: TokenizerFiles = { tokenizerJson, tokenizerConfig: {}, files: new Map() };
  return new Proxy(checkpoint, {
    get: (target, key) => {
      if (key === "readTokenizerFiles") return async () => files;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

test.each(TINY_MODELS)("%s: transformers' logits", async (name) => {
  const tiny = await openTinyGoldens(name);
  const file = join(home, "tiny.gguf");
  const { contextLength } = await exportGguf(withTinyTokenizer(tiny.checkpoint), file, { type: "F32" });
  const { vocabSize } = tiny.checkpoint.config;
  const ids = [...tiny.documents[0]!.tokens].slice(0, contextLength);
  const expected = logSoftmax((await tiny.golden("0.logits")).slice(0, ids.length * vocabSize), vocabSize);
  const found = (await runLlamaCpp<number[][]>(file, { ids })).flat();
  expect(worstRelativeError(found, expected)).toBeLessThan(TOLERANCE);
  await tiny.close();
});

test.each(TINY_FAMILIES)("%s: heads that do not divide the hidden size", async (family) => {
  const model = tinyModel(family);
  const file = join(home, "tiny.gguf");
  const { architecture, contextLength } = await exportGguf(withTinyTokenizer(tinyCheckpoint(model)), file, { type: "F32" });
  // llama.cpp's qwen2 rejects such heads; a llama with biases is the same model.
  expect(architecture).toBe({ llama: "llama", mistral: "llama", qwen2: "llama", qwen3: "qwen3", gemma3: "gemma3" }[family]);
  const ids = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30].slice(0, contextLength);
  const logits = referenceLogits(model.configJson, model.tensors, ids).flatMap((row) => Array.from(row));
  const found = (await runLlamaCpp<number[][]>(file, { ids })).flat();
  expect(worstRelativeError(found, logSoftmax(logits, model.config.vocabSize))).toBeLessThan(TOLERANCE);
});

test("gemma3 without two of its sliding layers, which changes the period", async () => {
  const model = tinyModel("gemma3", { numHiddenLayers: 6 });
  const layerTypes = ["sliding_attention", "sliding_attention", "full_attention"] as const;
  const types = [...layerTypes, ...layerTypes];
  const dense = { ...tinyCheckpoint(model), config: { ...model.config, layerTypes: types } };
  const plan = planOf("uniform", [{ layer: [0] }, {}, {}, {}, { layer: [0] }, {}]);
  const file = join(home, "tiny.gguf");
  const expert = withTinyTokenizer(expertCheckpoint(dense, plan, cutExpert(dense, plan)));
  await exportGguf(expert, file, { type: "F32" });
  const ids = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];
  const configJson = { ...model.configJson, layer_types: types };
  const logits = referenceLogits(configJson, model.tensors, ids, undefined, [0, 4]).flatMap((row) => Array.from(row));
  const found = (await runLlamaCpp<number[][]>(file, { ids })).flat();
  expect(worstRelativeError(found, logSoftmax(logits, model.config.vocabSize))).toBeLessThan(TOLERANCE);
});

test.each(["F16", "Q8_0", "Q4_K_M"] as const)("SmolLM2 as %s: the original token ids, and sensible text", async (type) => {
  const checkpoint = await openCheckpoint(await realModel("smollm2"));
  const file = join(home, "smollm2.gguf");
  await exportGguf(checkpoint, file, { type });
  await checkpoint.close();
  const { strings } = readGolden("smollm2");
  const request = { texts: strings.map(({ text }) => text), prompt: "The capital of France is" };
  const { ids, text } = await runLlamaCpp<{ ids: number[][]; text: string }>(file, request);
  expect(ids).toEqual(strings.map((golden) => golden.ids));
  expect(text).toContain("Paris");
});
