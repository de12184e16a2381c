/**
 * @file Importances in a GGUF file: matrices that are quantised again after repair are weighted by them.
 */

import { expect, test } from "vitest";
import { quantize, type WrittenGgmlType } from "../../../src/export/gguf/ggml-quantize.ts";
import { type RequantizedMatrix, requantizedMatrices } from "../../support/repaired-gguf.ts";

/** Squared error of the values that were read, weighted by the importance of each column. */
function weightedError({ values, columns }: RequantizedMatrix, importance: Float32Array, read: Float32Array): number {
  return read.reduce((sum, value, at) => sum + importance[at % columns]! * (value - values[at]!) ** 2, 0);
}

test.each([
  ["llama", null],
  ["llama", "Q4_K_M"],
  ["qwen2", "Q4_1"],
  ["qwen3", "Q4_0"],
  ["qwen3", "Q5_K_M"],
] as const)(
  "%s, written as %s: the blocks' matrices are weighted by their importances, with no larger error",
  async (family, type) => {
    const matrices = await requantizedMatrices(family, type);
    expect(matrices.filter(({ name }) => name.endsWith("mlp.down_proj.weight"))).toHaveLength(3);
    for (const matrix of matrices) {
      const { name, importance, values, bytes } = matrix;
      // The embedding, which is looked up, and the head, which is not repaired, have no importances.
      expect(importance !== null, name).toBe(name.startsWith("model.layers."));
      const written = quantize(matrix.type as WrittenGgmlType, values, importance);
      expect(Buffer.compare(written, bytes), name).toBe(0);
      if (importance === null || matrix.type === "Q8_0") continue;
      const [found, without] = [matrix.read, matrix.readWithout].map((read) => weightedError(matrix, importance, read));
      expect(found, name).toBeLessThanOrEqual(without!);
    }
  },
);
