/** @file The memory planner against its formula. */

import { afterEach, describe, expect, test, vi } from "vitest";
import { defaultMemoryLimit, planMemory, type MemoryRequest } from "../../src/model/memory-plan.ts";
import { tinyModel } from "../support/tiny-models.ts";

const { config } = tinyModel("llama");

afterEach(() => {
  vi.restoreAllMocks();
});

describe("the planner", () => {
  /** Llama 3 8B. */
  const large = {
    ...config,
    hiddenSize: 4096,
    headDim: 128,
    vocabSize: 128_256,
    numHiddenLayers: 2,
    layerSizes: Array.from({ length: 2 }, () => ({ intermediateSize: 14_336, numAttentionHeads: 32, numKeyValueHeads: 8 })),
  };
  const weights = 4 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14_336 * 4096);
  const garbage = 2 * 128e6;
  const program = 250e6 + 900 * 128_256;
  // 32 documents of 2048 tokens, each a batch; their attention is wider than the FFN's three activations.
  const lengths = Array.from({ length: 32 }, () => 2048);
  const batch = 4 * 2048 * (6 * 4096 + Math.max(2 * (32 + 16) * 128 + 2 * 32 * 2048, 3 * 14_336));

  test("adds up scoring, measuring and repair of known shapes", () => {
    const states = 4 * 32 * 2048 * 4096;
    const scores = 4 * 32 * 14_336;
    const scoring = {
      stage: "scoring",
      config: large,
      lengths,
      kinds: ["ffn"],
      mapChange: "first-order",
      vocabulary: false,
    } as const;
    expect(planMemory(scoring, 1e12)).toEqual({
      stage: "scoring",
      batchTokens: 512,
      spills: false,
      peakBytes: program + states + scores + weights + garbage + batch,
    });
    // Six maps and the products of pairs are wider than the FFN's activations.
    const maps = 2 * (32 + 16) * 128 + 10 * 32 * 128 + 6 * 32 * 2048;
    expect(planMemory({ ...scoring, kinds: ["q-row"], mapChange: "exact" }, 1e12).peakBytes).toBe(
      program + states + 4 * 32 * 4096 + weights + garbage + 4 * 2048 * (6 * 4096 + maps),
    );
    expect(planMemory({ stage: "measuring", config: large, lengths }, 1e12).peakBytes).toBe(
      program + states + weights + garbage + batch,
    );
    expect(planMemory({ stage: "writing", config: large, lengths: [] }, 1e12).peakBytes).toBe(program + 32e6);
    const narrow = { layerSizes: large.layerSizes.map((sizes) => ({ ...sizes, intermediateSize: 10_240 })) };
    // In f32: half of three squares, six cross products, twice 2048 tokens that wait, and the rest by input.
    const half = (10_240 * (10_240 + 512)) / 2;
    const fit = 4 * (3 * half + 6 * 10_240 * 4096 + 2 * 2048 * (10_240 + 4096) + 4096 * 10_240);
    const inner = 4 * 32 * 2048 * 10_240;
    expect(planMemory({ stage: "repairing", config: large, lengths, expert: narrow }, 1e13).peakBytes).toBe(
      program + 5 * states + inner + 3 * weights + garbage + batch + fit,
    );
  });

  test("counts the head and its rows if they take more than a block", () => {
    const wide = { ...config, vocabSize: 262_144 };
    const D = config.hiddenSize;
    const long = Array.from({ length: 100 }, () => 100);
    const { peakBytes } = planMemory({ stage: "measuring", config: wide, lengths: long }, 1e12);
    const ends = 4 * (2 * 8192 * D + 2 * 1024 * 8192 + 8192 * D);
    expect(peakBytes).toBe(250e6 + 900 * 262_144 + 4 * 100 * 100 * D + ends);
  });

  test("spills first, then makes batches smaller, then refuses with the numbers", () => {
    // 16 documents of 128 tokens, four in a batch.
    const many = {
      ...large,
      hiddenSize: 1024,
      headDim: 16,
      vocabSize: 1000,
      layerSizes: Array.from({ length: 2 }, () => ({ intermediateSize: 1024, numAttentionHeads: 64, numKeyValueHeads: 8 })),
    };
    const request: MemoryRequest = { stage: "measuring", config: many, lengths: Array.from({ length: 16 }, () => 128) };
    const layer = 4 * (2 * 1024 * 1024 + 2 * 128 * 1024 + 3 * 1024 * 1024);
    const activations = 4 * 512 * (6 * 1024 + 2 * (64 + 16) * 16 + 2 * 64 * 128);
    const buffer = 4 * 512 * 1024;
    const peak = (states: number, of: number): number => 250e6 + 900 * 1000 + states + 3 * layer + of;
    expect(planMemory(request, 1e12)).toMatchObject({
      batchTokens: 512,
      spills: false,
      peakBytes: peak(4 * buffer, activations),
    });
    const spilled = peak(buffer, activations);
    expect(planMemory(request, spilled)).toMatchObject({ batchTokens: 512, spills: true, peakBytes: spilled });
    const half = planMemory(request, spilled - 1);
    expect(half).toMatchObject({ batchTokens: 256, spills: true, peakBytes: peak(buffer / 2, activations / 2) });
    // One document has more tokens than the smallest batches.
    const least = Math.ceil(peak(buffer / 4, activations / 4) / 2 ** 20);
    expect(() => planMemory(request, 2 ** 28)).toThrow(
      expect.objectContaining({
        code: "MEMORY_LIMIT",
        parts: {
          where: "memory for measuring",
          found: "a limit of 256 MiB",
          expected: `at least ${least} MiB, with one document of 128 tokens at a time and a scratch file`,
          remedy: "Allow more with --memory",
        },
      }) as Error,
    );
  });

  test("its remedies include shorter documents, and no repair", () => {
    const long = Array.from({ length: 4 }, () => 16_384);
    expect(() => planMemory({ stage: "measuring", config: large, lengths: long }, 3e9)).toThrow("--max-tokens");
    expect(() => planMemory({ stage: "repairing", config: large, lengths, expert: large }, 6e9)).toThrow(
      /--memory, or do without repair \(--no-repair\)/,
    );
  });

  test("by default uses three quarters of a container's memory", () => {
    vi.spyOn(process, "constrainedMemory").mockReturnValue(4e9);
    expect(defaultMemoryLimit()).toBe(3e9);
  });
});
