/**
 * @file Tiny ragged experts of every family in the two newest major versions of transformers, with the Python file next
 * to the weights: no missing or unexpected keys, the logits of our forward pass and of the f64 reference, and the same
 * greedy continuation with the KV cache.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { ourLogits, worstRelativeError } from "../support/forward-goldens.ts";
import { greedyIds, RAGGED_CUTS, raggedFolder } from "../support/ragged.ts";
import { TINY_FAMILIES, tinyModel } from "../support/tiny-models.ts";
import { REFERENCE, runPython, TRANSFORMERS_4 } from "./python.ts";

interface Loaded {
  readonly transformers: string;
  readonly config_class: string;
  readonly logits: readonly (readonly number[])[];
  readonly greedy: readonly number[];
}

const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];

/** All compute from the same weights, in f32: sums of 30 to 40 products have errors of about 1e-6. */
const TOLERANCE = 2e-5;

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-ragged-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

test.each(TINY_FAMILIES)("%s", async (family) => {
  const out = join(home, "expert");
  const { expert, reference } = await raggedFolder(tinyModel(family), RAGGED_CUTS, out);
  const expected = reference(IDS).flat();

  const reopened = await openCheckpoint(out);
  expect(reopened.config.layerSizes).toEqual(expert.config.layerSizes);
  expect(worstRelativeError(await ourLogits(reopened, IDS), expected)).toBeLessThan(TOLERANCE);
  await reopened.close();

  const greedy = greedyIds(reference, IDS, 12);
  for (const [environment, major] of [
    [REFERENCE, "5"],
    [TRANSFORMERS_4, "4"],
  ] as const) {
    const loaded = await runPython<Loaded>("../reference/check_loads.py", [out, IDS.join(","), "trust"], environment);
    expect(loaded.transformers.split(".")[0]).toBe(major);
    expect(loaded.config_class).toBe("RaggedConfig");
    expect(worstRelativeError(loaded.logits.flat(), expected)).toBeLessThan(TOLERANCE);
    expect(loaded.greedy).toEqual(greedy);
  }
  // No stock class loads it without trust_remote_code.
  await expect(runPython("../reference/check_loads.py", [out, IDS.join(",")])).rejects.toThrow(/trust_remote_code/);
});

interface Blocks {
  readonly error?: string;
  readonly qkv_bias?: boolean | null;
  readonly blocks?: readonly (readonly [headsInGroup: number, intermediateSize: number])[];
}

/** FFN units only, so that all layers have the same number of query heads. */
const FFN_CUTS = RAGGED_CUTS.map(({ ffn }) => ({ ffn: ffn! }));

test("vLLM's DeciLMForCausalLM finds the sizes if it computes the same, and an error otherwise", async () => {
  const blocksOf = async (family: (typeof TINY_FAMILIES)[number], cuts: typeof RAGGED_CUTS): Promise<Blocks> => {
    const out = join(home, "expert");
    await raggedFolder(tinyModel(family), cuts, out);
    const found = await runPython<Blocks>("../reference/check_blocks.py", [out]);
    await rm(out, { recursive: true });
    return found;
  };
  const blocks = [
    [2, 32],
    [2, 33],
    [2, 24],
  ];
  expect(await blocksOf("llama", FFN_CUTS)).toEqual({ qkv_bias: null, blocks });
  expect(await blocksOf("qwen2", FFN_CUTS)).toEqual({ qkv_bias: true, blocks });
  expect(await blocksOf("llama", RAGGED_CUTS)).toEqual({
    error: expect.stringMatching(/6 query heads in every layer, this model 3/),
  });
});
