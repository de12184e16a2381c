import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { solvePositiveDefinite } from "../../src/surgery/linear-solve.ts";
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
  let products: Products;
  beforeAll(async () => {
    products = await Products.create();
  });
  afterAll(async () => {
    await products.close();
  });

  // Sizes below, at and above a block of 256, and several blocks with a remainder.
  test.each([1, 5, 256, 257, 600])("n = %i: recovers the X from which B was computed", async (n) => {
    const random = randoms(n);
    const m = 3;
    const factor = Float64Array.from({ length: n * (n + 4) }, random);
    const a = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let k = 0; k < n + 4; k++) sum += factor[i * (n + 4) + k]! * factor[j * (n + 4) + k]!;
        a[i * n + j] = sum;
      }
    }
    const d = Float64Array.from({ length: n }, () => 0.1 + Math.abs(random()));
    const expected = Float64Array.from({ length: n * m }, random);
    const b = new Float64Array(n * m);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++)
        for (let c = 0; c < m; c++) b[i * m + c]! += (a[i * n + j]! + (i === j ? d[i]! : 0)) * expected[j * m + c]!;
    // Values above the diagonal are not read.
    for (let i = 0; i < n; i++) a.fill(Number.NaN, i * n + i + 1, (i + 1) * n);
    const x = await solvePositiveDefinite(products, a, d, b, n);
    // Condition numbers are below 1e5 here: 1e-9 leaves f64 four digits.
    for (const [index, value] of x!.entries()) expect(Math.abs(value - expected[index]!)).toBeLessThan(1e-9);
  });

  test("a matrix that is not positive definite is reported as such", async () => {
    expect(
      await solvePositiveDefinite(products, Float64Array.of(1, 2, 2, 1), new Float64Array(2), Float64Array.of(1, 1), 2),
    ).toBeNull();
  });
});
