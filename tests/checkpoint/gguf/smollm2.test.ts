/**
 * @file The real SmolLM2 file: all 272 tensors equal those that transformers loads from it, bit for bit, and the config
 * is the original model's.
 */

import { expect, it } from "vitest";
import { openGguf } from "../../../src/checkpoint/gguf/open-gguf.ts";
import { compareValues } from "../../support/gguf-values.ts";
import { realModel } from "../../support/real-models.ts";

it("has the values that transformers loads", async () => {
  expect(await compareValues("smollm2")).toEqual({
    unmatched: [],
    different: [],
    comparedCount: 272,
    tied: { cusprun: true, transformers: true },
  });
});

it("has the original model's config", async () => {
  const checkpoint = await openGguf(await realModel("smollm2"));
  await checkpoint.close();
  expect(checkpoint.config).toEqual({
    family: "llama",
    hiddenSize: 576,
    numHiddenLayers: 30,
    layerSizes: Array.from({ length: 30 }, () => ({ intermediateSize: 1536, numAttentionHeads: 9, numKeyValueHeads: 3 })),
    headDim: 64,
    vocabSize: 49_152,
    maxPositionEmbeddings: 8192,
    rmsNormEps: 1e-5,
    hiddenActivation: "silu",
    tieWordEmbeddings: true,
    attentionScale: 1 / 8,
    embeddingScale: 1,
    rope: { full_attention: { theta: 100_000, scaling: null }, sliding_attention: { theta: 100_000, scaling: null } },
    layerTypes: Array.from({ length: 30 }, () => "full_attention"),
    slidingWindow: null,
    bosTokenId: 1,
    eosTokenIds: [2],
  });
});
