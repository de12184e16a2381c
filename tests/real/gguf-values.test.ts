/**
 * @file The real Qwen and Gemma files: every tensor equals what transformers loads, bit for bit (of the embeddings, the first rows).
 */

import { expect, it } from "vitest";
import { openGguf } from "../../src/checkpoint/gguf/open-gguf.ts";
import { compareValues } from "../support/gguf-values.ts";
import { realModel } from "../support/real-models.ts";

it("qwen2 has the values that transformers loads", async () => {
  // `output.weight` is kept: its values are the embedding's, quantised otherwise.
  expect(await compareValues("qwen2")).toEqual({
    unmatched: [],
    different: [],
    comparedCount: 291,
    tied: { cusprun: false, transformers: false },
  });
});

it("gemma3 has the values that transformers loads", async () => {
  expect(await compareValues("gemma3")).toEqual({
    unmatched: [],
    different: [],
    comparedCount: 236,
    tied: { cusprun: true, transformers: true },
  });
});

it("gemma3 has the original's config where the file does not say it", async () => {
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
