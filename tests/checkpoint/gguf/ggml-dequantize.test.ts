/**
 * @file Dequantisation compared with goldens of the `gguf` Python package (tests/reference/make_gguf_goldens.py), bit
 * for bit.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { GgmlQuantType } from "../../../src/checkpoint/checkpoint.ts";
import { dequantizeInto } from "../../../src/checkpoint/gguf/ggml-dequantize.ts";
import { GGML_BLOCK_FORMATS } from "../../../src/checkpoint/gguf/ggml-types.ts";

interface Goldens {
  /** Base64 of blocks, and of the little-endian f32 values in them. */
  readonly types: Readonly<Record<GgmlQuantType, { readonly blocks: string; readonly values: string }>>;
}

const goldens = JSON.parse(readFileSync(join(import.meta.dirname, "../../fixtures/gguf/dequantize.json"), "utf8")) as Goldens;
const types = Object.keys(goldens.types) as GgmlQuantType[];

function golden(type: GgmlQuantType): { blocks: Buffer; values: Buffer; count: number } {
  const blocks = Buffer.from(goldens.types[type].blocks, "base64");
  const values = Buffer.from(goldens.types[type].values, "base64");
  return { blocks, values, count: values.length / 4 };
}

function dequantize(type: GgmlQuantType, blocks: Uint8Array, count: number): Buffer {
  const out = new Float32Array(count);
  dequantizeInto(type, blocks, out);
  return Buffer.from(out.buffer);
}

describe("dequantizeInto", () => {
  it("has a golden for every quantised type", () => {
    const quantised = Object.keys(GGML_BLOCK_FORMATS).filter((type) => !["F32", "F16", "BF16"].includes(type));
    expect(types.toSorted()).toEqual(quantised.toSorted());
  });

  // Exact, because every step is exact both in f32 and in f64, except for the one rounding on storing.
  it.each(types)("%s equals the gguf package bit for bit", (type) => {
    const { blocks, values, count } = golden(type);
    expect(dequantize(type, blocks, count).equals(values)).toBe(true);
  });

  it.each(types)("%s reads blocks at an odd address", (type) => {
    const { blocks, values, count } = golden(type);
    const shifted = new Uint8Array(blocks.length + 1);
    shifted.set(blocks, 1);
    expect(dequantize(type, shifted.subarray(1), count).equals(values)).toBe(true);
  });

  it("widens F32, F16 and BF16", () => {
    const out = new Float32Array(2);
    dequantizeInto("F16", Uint8Array.of(0x00, 0x3c, 0x00, 0xc0), out);
    expect([...out]).toEqual([1, -2]);
    dequantizeInto("BF16", Uint8Array.of(0x80, 0x3f, 0x00, 0xc0), out);
    expect([...out]).toEqual([1, -2]);
    dequantizeInto("F32", new Uint8Array(Float32Array.of(0.1, -0).buffer), out);
    expect([...out]).toEqual([Math.fround(0.1), -0]);
  });

  it("refuses lengths that do not match", () => {
    expect(() => dequantizeInto("Q4_0", new Uint8Array(17), new Float32Array(32))).toThrow(RangeError);
    expect(() => dequantizeInto("Q4_0", new Uint8Array(18), new Float32Array(31))).toThrow(RangeError);
  });
});
