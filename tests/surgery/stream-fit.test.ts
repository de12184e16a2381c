/** @file The input of a sublayer, against its definition in f64. */

import { expect, test } from "vitest";
import { Products } from "../../src/surgery/products.ts";
import { StreamNorm } from "../../src/surgery/stream-fit.ts";
import { seededNormal } from "../support/tiny-models.ts";

test("rows of a stream as a sublayer reads them: after its norm, or as they are", async () => {
  const [D, epsilon] = [5, 1e-5];
  const random = seededNormal(11);
  const stream = Float32Array.from({ length: 7 * D }, random);
  const norm = Float32Array.from({ length: D }, random);
  const products = new Products();
  const streams = new StreamNorm(products, D, epsilon);
  const rows = await streams.rows(stream, { data: norm, shape: [D] }, "rows");
  for (let row = 0; row < 7; row++) {
    const x = stream.subarray(row * D, (row + 1) * D);
    const rms = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / D + epsilon);
    for (const [d, value] of x.entries()) expect(rows[row * D + d]).toBeCloseTo((value / rms) * norm[d]!, 5);
  }
  expect(await streams.rows(stream, null, "rows")).toBe(stream);
  await streams.close();
  await products.close();
});
