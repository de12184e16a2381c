/**
 * @file Conversion of floats against numpy (F16) and torch (BF16), bit for bit: all 65,536 narrow patterns, and 2.2
 * million f32 patterns with every tie between two narrow values and its neighbours. Goldens:
 * tests/reference/make_float_goldens.py.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { narrowFromFloat32, widenToFloat32 } from "../src/float-convert.ts";

const goldens = JSON.parse(readFileSync(new URL("fixtures/float-goldens.json", import.meta.url), "utf8"));

function sha(array: ArrayBufferView): string {
  return createHash("sha256")
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest("hex");
}

const allHalves = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, i) => i).buffer);

/** The same patterns as `patterns()` of make_float_goldens.py. */
function narrowedPatterns(): Uint32Array<ArrayBuffer> {
  const parts: Uint32Array[] = [Uint32Array.from({ length: 1 << 20 }, (_, i) => Math.imul(i, 2_654_435_761) >>> 0)];
  for (const dtype of ["F16", "BF16"] as const) {
    const wide = new Uint32Array(widenToFloat32(allHalves, dtype).buffer);
    for (const middle of [0, 0x1000, 0x8000]) {
      for (const offset of [-1, 0, 1]) parts.push(wide.map((bits) => bits + middle + offset));
    }
  }
  const ties = new Uint32Array(Float32Array.from({ length: 1025 }, (_, i) => i * 2 ** -25).buffer);
  for (const offset of [-1, 0, 1]) parts.push(ties.map((bits) => bits + offset));
  const all = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let start = 0;
  for (const part of parts) {
    all.set(part, start);
    start += part.length;
  }
  return all;
}

describe("widening", () => {
  test("every F16 pattern like numpy", () => {
    expect(sha(widenToFloat32(allHalves, "F16"))).toBe(goldens.widen_f16);
  });

  test("every BF16 pattern like torch", () => {
    expect(sha(widenToFloat32(allHalves, "BF16"))).toBe(goldens.widen_bf16);
  });

  test.each(["F16", "BF16"] as const)("%s: bytes at an odd offset read the same", (dtype) => {
    const shifted = new Uint8Array(allHalves.length + 1);
    shifted.set(allHalves, 1);
    expect(sha(widenToFloat32(shifted.subarray(1), dtype))).toBe(sha(widenToFloat32(allHalves, dtype)));
  });

  test("F32 bytes at an odd offset are copied", () => {
    const shifted = new Uint8Array(9);
    shifted.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 1);
    expect([...widenToFloat32(shifted.subarray(1), "F32")]).toEqual([1.5, -2]);
  });

  test.each([
    ["F32", 6],
    ["F16", 3],
    ["BF16", 5],
  ] as const)("%s refuses %i bytes", (dtype, length) => {
    expect(() => widenToFloat32(new Uint8Array(length), dtype)).toThrow(RangeError);
  });
});

describe("narrowing", () => {
  const bits = narrowedPatterns();
  const values = new Float32Array(bits.buffer);

  test("the patterns are those of the goldens", () => {
    expect([bits.length, sha(bits)]).toEqual([goldens.pattern_count, goldens.patterns]);
  });

  test("to F16 like numpy, including NaN payloads", () => {
    expect(sha(narrowFromFloat32(values, "F16"))).toBe(goldens.narrow_f16);
  });

  test("to BF16 like torch (numbers only: torch does not preserve NaN payloads)", () => {
    const numbers = values.filter((value) => !Number.isNaN(value));
    expect(sha(narrowFromFloat32(numbers, "BF16"))).toBe(goldens.narrow_bf16_without_nan);
  });

  test.each(["F16", "BF16"] as const)("%s: NaN stays NaN with its sign", (dtype) => {
    const nans = Uint32Array.of(0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xff80_0001, 0x7fff_ffff);
    const back = widenToFloat32(narrowFromFloat32(new Float32Array(nans.buffer), dtype), dtype);
    expect([...back].every(Number.isNaN)).toBe(true);
    expect([...new Uint32Array(back.buffer)].map((wide) => wide >>> 31)).toEqual([0, 1, 0, 1, 0]);
  });

  test.each(["F16", "BF16"] as const)("%s: narrowing what was widened gives back all 65,536 patterns", (dtype) => {
    expect(sha(narrowFromFloat32(widenToFloat32(allHalves, dtype), dtype))).toBe(sha(allHalves));
  });

  test("F32 passes through, also from a view", () => {
    const view = Float32Array.of(9, 1.5, -0, 9).subarray(1, 3);
    expect(sha(narrowFromFloat32(view, "F32"))).toBe(sha(Float32Array.of(1.5, -0)));
  });
});
