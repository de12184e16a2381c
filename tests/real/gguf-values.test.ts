/**
 * @file The real Qwen and Gemma files: every tensor equals that loaded by transformers, bit for bit (only the first
 * rows of embeddings).
 */

import { expect, it } from "vitest";
import { openGguf } from "../../src/checkpoint/gguf/open-gguf.ts";
import { compareValues } from "../support/gguf-values.ts";
import { realModel } from "../support/real-models.ts";

it("qwen2 has the values loaded by transformers", async () => {
  // `output.weight` is kept: it has the embedding's values, but is quantised differently.
  expect(await compareValues("qwen2")).toEqual({
    unmatched: [],
    different: [],
    comparedCount: 291,
    tied: { cusprun: false, transformers: false },
  });
});

it("gemma3 has the values loaded by transformers", async () => {
  expect(await compareValues("gemma3")).toEqual({
    unmatched: [],
    different: [],
    comparedCount: 236,
    tied: { cusprun: true, transformers: true },
  });
});

it("gemma3 has the original config if the file does not specify it", async () => {
  const checkpoint = await openGguf(await realModel("gemma3"));
  await checkpoint.close();
  const { config } = checkpoint;
  expect(config.layerTypes.flatMap((type, layer) => (type === "full_attention" ? [layer] : []))).toEqual([5, 11, 17]);
  expect(config).toMatchObject({
    slidingWindow: 512,
    attentionScale: 1 / 16,
    embeddingScale: Math.sqrt(640),
    rmsNormEps: 1e-6,
    rope: { full_attention: { theta: 1_000_000, scaling: null }, sliding_attention: { theta: 10_000, scaling: null } },
  });
});
