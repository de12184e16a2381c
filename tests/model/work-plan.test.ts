/** @file The work of stages, against counts made by hand on one small shape. */

import { describe, expect, test } from "vitest";
import type { ModelConfig } from "../../src/checkpoint/config/model-config.ts";
import { planWork, secondsOf } from "../../src/model/work-plan.ts";
import { tinyModel } from "../support/tiny-models.ts";

/** D = 8, F = 16, H = 4, G = 2, K = 4, V = 10, one layer. */
const config: ModelConfig = {
  ...tinyModel("llama").config,
  hiddenSize: 8,
  headDim: 4,
  vocabSize: 10,
  numHiddenLayers: 1,
  layerSizes: [{ intermediateSize: 16, numAttentionHeads: 4, numKeyValueHeads: 2 }],
  layerTypes: ["full_attention"],
};
/** q, o: 8 × 16 each; k, v: 8 × 8 each; gate, up, down: 8 × 16 each. */
const WEIGHTS = 2 * 128 + 2 * 64 + 3 * 128;
/** Documents of 5 and 3 tokens are one batch of 2 × 5. */
const lengths = [5, 3];
/** A multiply-add for every token and weight; and each of 4 heads multiplies 5 × 5 maps with 4 columns, twice. */
const BLOCK = 2 * 10 * WEIGHTS + 2 * 4 * (2 * 2 * 25 * 4);

describe("the work of", () => {
  test("scoring: the blocks, and each dimension's predictions twice", () => {
    expect(planWork({ stage: "scoring", config, lengths, positions: [] })).toEqual({
      scoring: BLOCK,
      head: 0,
      reading: WEIGHTS + 80,
    });
    expect(planWork({ stage: "scoring", config, lengths, positions: [8, 5] })).toEqual({
      scoring: BLOCK,
      head: 2 * (2 * 8 * 80 + 2 * 5 * 80),
      reading: WEIGHTS + 80 + 4 * 80,
    });
  });

  test("smaller batches: less padding", () => {
    const { scoring } = planWork({ stage: "scoring", config, lengths, positions: [] }, 5);
    expect(scoring).toBe(2 * 8 * WEIGHTS + 2 * 4 * (2 * 25 * 4 + 2 * 9 * 4));
  });

  test("measuring: inputs of one token less, each with a target", () => {
    expect(planWork({ stage: "measuring", config, lengths })).toEqual({
      block: 2 * 8 * WEIGHTS + 2 * 4 * (2 * 2 * 16 * 4),
      head: 2 * (4 + 2) * 80,
      reading: WEIGHTS + 2 * 80,
    });
  });

  test("trying cuts: the cut layer and those behind it, for every trial, and the head for all", () => {
    const two = { ...config, numHiddenLayers: 2, layerSizes: [config.layerSizes[0]!, config.layerSizes[0]!] };
    const cut = { ...config.layerSizes[0]!, intermediateSize: 8 };
    const trials = [0, 1].map((layer) => ({ layer, sizes: cut }));
    const cutBlock = BLOCK - 2 * 10 * 3 * 64;
    expect(planWork({ stage: "trying cuts", config: two, lengths, fitted: [], trials })).toMatchObject({
      // The dense model twice, the first trial's second layer once, and both cut layers.
      block: 3 * BLOCK + 2 * cutBlock,
      damage: 2 * 3 * 8 * 80,
      reading: 4 * WEIGHTS + 2 * 80,
    });
    const repaired = planWork({ stage: "trying cuts", config: two, lengths, fitted: [5, 3], trials });
    expect(repaired).toMatchObject({
      block: 5 * BLOCK + 4 * cutBlock,
      // 8 inputs and 8 outputs: half of AᵀA, and AᵀY; then a factorisation, and two triangular solves.
      sums: 2 * (10 * 8 * 8 + 2 * 10 * 8 * 8),
      solve: 2 * (8 ** 3 / 3 + 2 * 8 * 8 * 8),
    });
  });
});

test("seconds are the sum over kinds; a kind that does not occur takes none", () => {
  const speed = { scoring: 1, block: 10, head: 4, damage: 1, sums: Infinity, solve: 2, reading: 5 };
  expect(secondsOf({ block: 20, head: 2, solve: 3 }, speed)).toBe(2 + 0.5 + 1.5);
});
