/**
 * @file GGUF files from which whole layers are removed.
 */

import { describe, expect, test } from "vitest";
import { openGguf } from "../../../src/checkpoint/gguf/open-gguf.ts";
import { exportGguf } from "../../../src/export/gguf/export-gguf.ts";
import type { PrunePlan } from "../../../src/selection/plan.ts";
import { cutExpert } from "../../../src/surgery/expert.ts";
import { expertCheckpoint } from "../../../src/surgery/expert-checkpoint.ts";
import { BLOCK_SIZES, cutGguf, tensorBytes } from "../../support/gguf-cuts.ts";
import { planOf, type Removed } from "../../support/plans.ts";
import { quantizedGguf } from "../../support/quantized-gguf.ts";
import { withFile } from "../../support/temporary-gguf.ts";
import { tinyModel } from "../../support/tiny-models.ts";

describe("a GGUF file without whole layers", () => {
  /** A file of Gemma 3 in which all but every 6th layer slide, with a boolean for each layer. */
  const gemma = (layers: number): Uint8Array => {
    const slides = Array.from({ length: layers }, (_, layer) => (layer + 1) % 6 !== 0);
    const pattern = { "gemma3.attention.sliding_window_pattern": ["array", "bool", slides] } as const;
    return quantizedGguf(tinyModel("gemma3", { ...BLOCK_SIZES, numHiddenLayers: layers }), {}, pattern);
  };
  const without = (layers: number, gone: readonly number[]): PrunePlan =>
    planOf(
      "uniform",
      Array.from({ length: layers }, (_, layer): Removed => (gone.includes(layer) ? { layer: [0] } : {})),
    );

  test("kept layers have the input's bytes under their new numbers, and no list has an entry too many", () => {
    const widths = { "llama.feed_forward_length": ["array", "uint32", [96, 96, 96]] } as const;
    const bytes = quantizedGguf(tinyModel("llama", BLOCK_SIZES), {}, widths);
    return cutGguf(bytes, without(3, [1]), async ({ before, after, back }) => {
      expect(after.header.tensors.size).toBe(before.header.tensors.size - 9);
      for (const name of after.header.tensors.keys())
        expect(tensorBytes(after, name).equals(tensorBytes(before, name.replace("blk.1.", "blk.2."))), name).toBe(true);
      expect(after.header.metadata.get("llama.block_count")).toBe(2);
      expect(after.header.metadata.get("llama.feed_forward_length")).toBe(96);
      expect(after.header.metadata.get("general.tags")).toEqual(before.header.metadata.get("general.tags"));
      expect(back.config.numHiddenLayers).toBe(2);
    });
  });

  test.each([
    [7, [2], 5],
    [12, [0, 8], 5],
    [12, [9, 10, 11], 6],
  ])("Gemma's %d without %j: every %dth has full attention", (layers, gone, period) =>
    cutGguf(gemma(layers), without(layers, gone), async ({ after, expert, back }) => {
      expect(after.header.metadata.get("gemma3.attention.sliding_window_pattern")).toBe(period);
      expect(back.config.layerTypes).toEqual(expert.config.layerTypes);
    }),
  );

  test("Gemma is refused if its sliding layers no longer follow a period", async () => {
    await withFile(gemma(12), async (path) => {
      const source = await openGguf(path);
      const plan = without(12, [2]);
      const writing = exportGguf(expertCheckpoint(source, plan, cutExpert(source, plan)), `${path}.out.gguf`);
      await expect(writing).rejects.toMatchObject({
        code: "EXPORT_UNSUPPORTED",
        parts: { found: "sliding layers that follow no period" },
      });
      await source.close();
    });
  });
});
