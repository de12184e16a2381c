/**
 * @file Numbers of a GGUF file's keys.
 */

import { describe, expect, it } from "vitest";
import { shortestDecimal } from "../../../src/checkpoint/gguf/fields.ts";

describe("shortestDecimal", () => {
  it("finds the decimal that was converted to f32", () => {
    expect([1e-6, 1e-5, 1e-12, 10_000, 500_000, 0.1, 8, 1.0000001].map((value) => shortestDecimal(Math.fround(value)))).toEqual([
      1e-6, 1e-5, 1e-12, 10_000, 500_000, 0.1, 8, 1.0000001,
    ]);
  });

  it("returns a value that is not an f32 unchanged", () => {
    expect(shortestDecimal(0.1)).toBe(0.1);
  });
});
