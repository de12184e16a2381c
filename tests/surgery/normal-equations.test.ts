/** @file Sums over tokens, against their definition in f64. */

import { expect, test } from "vitest";
import { NormalEquations } from "../../src/surgery/normal-equations.ts";
import { Products } from "../../src/surgery/products.ts";
import { Projection } from "../../src/surgery/projection.ts";
import { seededNormal } from "../support/tiny-models.ts";

// More tokens than are added together, and inputs in more than one block.
test.each([
  [5, 3, 40],
  [600, 4, 2500],
])("n = %i inputs, D = %i outputs, %i tokens: sums of the rows that are added, scaled token by token", async (n, D, tokens) => {
  const random = seededNormal(n);
  const values = (count: number): Float32Array<ArrayBuffer> => Float32Array.from({ length: count }, random);
  const [a, y, scale] = [values(tokens * n), values(tokens * D), values(tokens)];
  const products = new Products();
  const equations = new NormalEquations(products, "a test", n, new Projection(D));
  // The rows between are left out.
  const parts = [
    [0, 10],
    [13, tokens],
  ] as const;
  for (const rows of parts) await equations.add(a, y, rows, scale);
  await equations.finish();
  const used = parts.flatMap(([start, end]) => Array.from({ length: end - start }, (_, index) => start + index));
  const input = (token: number, i: number): number => a[token * n + i]! * scale[token]!;
  const sum = (of: (token: number) => number): number => used.reduce((total, token) => total + of(token), 0);
  // Products of order one, summed in f32.
  const tolerance = 2e-6 * tokens + 1e-4;
  for (const [i, j] of [
    [0, 0],
    [n - 1, 0],
    [n - 1, n - 1],
    [n >> 1, n >> 2],
  ] as const) {
    const row = equations.gram.spans.findIndex(({ end }) => i < end);
    const column = equations.gram.spans.findIndex(({ end }) => j < end);
    const { start, size } = equations.gram.spans[column]!;
    const own = equations.gram.block(row, column)[(i - equations.gram.spans[row]!.start) * size + j - start]!;
    expect(Math.abs(own - sum((token) => input(token, i) * input(token, j)))).toBeLessThan(tolerance);
    const cross = sum((token) => input(token, i) * y[token * D + 1]!);
    expect(Math.abs(equations.cross[i * D + 1]! - cross)).toBeLessThan(tolerance);
  }
  const energy = sum((token) => y.subarray(token * D, (token + 1) * D).reduce((total, value) => total + value * value, 0));
  expect(equations.targetEnergy / energy).toBeCloseTo(1, 5);
  await products.close();
});

test("a projection keeps squared norms, without bias and within its spread", async () => {
  const products = new Products();
  const projection = new Projection(1000);
  expect(projection.projected).toBe(256);
  const random = seededNormal(2);
  const rows = 400;
  const x = Float32Array.from({ length: rows * 1000 }, random);
  const projected = await projection.project(products, x, rows, "rows");
  const energy = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0);
  // One row's spread is √(2/256); that of the mean of 400 rows is a twentieth of it, 0.4%.
  expect(Math.abs(energy(projected) / energy(x) - 1)).toBeLessThan(0.02);
  await products.close();
});
