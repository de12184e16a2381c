import { afterAll, describe, expect, test } from "vitest";
import { CholeskyFactor } from "../../src/surgery/linear-solve.ts";
import { LowerBlocks, lowerBlocksSize } from "../../src/surgery/lower-blocks.ts";
import { Products } from "../../src/surgery/products.ts";

/** Uniform numbers in [−1, 1) from a seed (mulberry32). */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

describe("solving with a positive definite matrix", () => {
  const products = new Products();
  afterAll(async () => {
    await products.close();
  });

  // Sizes that are factored in plain loops (64 or less), by halves (up to 512), and in several blocks.
  test.each([1, 5, 64, 65, 300, 513, 1100])("n = %i: recovers the X from which B was computed", async (n) => {
    const random = randoms(n);
    const m = 3;
    const d = Float64Array.from({ length: n }, () => 0.5 + Math.abs(random()));
    // Rank 40 above the ridge: the condition is below 1e4 at every size.
    const rank = 40;
    const factor = Float64Array.from({ length: n * rank }, random);
    const inner = (i: number, j: number): number => {
      let sum = 0;
      for (let k = 0; k < rank; k++) sum += factor[i * rank + k]! * factor[j * rank + k]!;
      return sum;
    };
    const a = new LowerBlocks(n, new Float32Array(lowerBlocksSize(n)));
    const expected = Float64Array.from({ length: n * m }, random);
    const b = new Float64Array(n * m);
    for (const [row, rows] of a.spans.entries()) {
      for (const [column, columns] of a.spans.slice(0, row + 1).entries()) {
        const block = a.block(row, column);
        for (let i = rows.start; i < rows.end; i++) {
          for (let j = columns.start; j < columns.end; j++)
            block[(i - rows.start) * columns.size + j - columns.start] = inner(i, j);
        }
      }
    }
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++)
        for (let c = 0; c < m; c++) b[i * m + c]! += (inner(i, j) + (i === j ? d[i]! : 0)) * expected[j * m + c]!;
    const solver = await CholeskyFactor.of(products, a, d);
    const x = await solver!.solve(Float32Array.from(b), m);
    // f32 rounds at 6e-8; times the condition.
    for (const [index, value] of x.entries()) expect(Math.abs(value - expected[index]!)).toBeLessThan(5e-4);
    const product = await a.times(products, Float32Array.from(expected), m, new Float32Array(n * m));
    for (const [index, value] of product.entries()) {
      const wanted = b[index]! - d[Math.floor(index / m)]! * expected[index]!;
      expect(Math.abs(value - wanted)).toBeLessThan(1e-5 * n + 1e-5);
    }
  });

  test("a matrix that is not positive definite is reported as such", async () => {
    expect(await CholeskyFactor.of(products, new LowerBlocks(2, Float32Array.of(1, 2, 2, 1)), new Float64Array(2))).toBeNull();
  });
});
