/** @file Sums over the inputs of a sublayer, against their definition in f64. */

import { expect, test } from "vitest";
import type { Batch } from "../../src/model/batches.ts";
import { NormalEquations } from "../../src/surgery/repair-fit.ts";
import { StreamSums } from "../../src/surgery/stream-fit.ts";
import { seededNormal } from "../support/tiny-models.ts";

test.each([
  ["with a norm", true],
  ["without a norm", false],
] as const)("sums of streams leave padding out, and add up over batches: sublayers %s", async (_, hasNorm) => {
  const [D, epsilon] = [5, 1e-5];
  const random = seededNormal(11);
  const values = (count: number): Float32Array<ArrayBuffer> => Float32Array.from({ length: count }, random);
  const norm = values(D);
  const streams = new StreamSums(D, epsilon);
  const equations = new NormalEquations(D, D);
  const [p, q]: number[][][] = [[], []];
  const normed = (stream: Float32Array, row: number): number[] => {
    const x = stream.subarray(row * D, (row + 1) * D);
    if (!hasNorm) return [...x];
    const rms = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / D + epsilon);
    return Array.from(x, (value, d) => (value / rms) * norm[d]!);
  };
  for (const lengths of [[3, 2], [4]]) {
    const [length, rows] = [Math.max(...lengths), lengths.length];
    const mask = Float32Array.from({ length: rows * length }, (_, at) =>
      at % length < lengths[Math.floor(at / length)]! ? 1 : 0,
    );
    const batch: Batch = { documents: lengths.map((_, row) => row), length, tokens: new Int32Array(rows * length), mask };
    const [pruned, dense] = [values(rows * length * D), values(rows * length * D)];
    await streams.addTo(equations, batch, pruned, dense, hasNorm ? { data: norm, shape: [D] } : null);
    for (const [row, real] of mask.entries()) {
      if (real === 0) continue;
      p!.push(normed(pruned, row));
      q!.push(normed(dense, row));
    }
  }
  await streams.close();
  const product = (a: number[][], b: number[][]): number[] =>
    Array.from({ length: D * D }, (_, at) =>
      a.reduce((sum, row, token) => sum + row[Math.floor(at / D)]! * b[token]![at % D]!, 0),
    );
  const lower = (square: number[]): number[] => square.map((value, at) => (at % D > Math.floor(at / D) ? 0 : value));
  const energies = Array.from({ length: D }, (_, d) => q!.reduce((sum, row) => sum + row[d]! ** 2, 0));
  for (const [own, expected] of [
    [equations.gram, lower(product(p!, p!))],
    [equations.cross, product(p!, q!)],
    [equations.targetEnergy, energies],
  ] as const) {
    // Nine tokens of order one, summed in f32.
    for (const [at, value] of expected.entries()) expect(Math.abs(own[at]! - value)).toBeLessThan(1e-4);
  }
});
