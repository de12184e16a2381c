/**
 * @file Quantisers compared with llama.cpp's own (tests/reference/make_quantize_goldens.py): every byte is the same.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { quantize, type WrittenGgmlType } from "../../../src/export/gguf/ggml-quantize.ts";

interface Golden {
  readonly values: string;
  readonly quantised: Readonly<Record<string, string>>;
  readonly importance: string;
  readonly weighted: Readonly<Record<string, string>>;
}
const golden = JSON.parse(readFileSync(join(import.meta.dirname, "../../fixtures/gguf/quantize.json"), "utf8")) as Golden;
const floats = (base64: string): Float32Array => new Float32Array(Uint8Array.from(Buffer.from(base64, "base64")).buffer);
const values = floats(golden.values);

test.each(Object.entries(golden.quantised))("%s is bit-identical to ggml_quantize_chunk", (type, bytes) => {
  expect(Buffer.from(quantize(type as WrittenGgmlType, values)).equals(Buffer.from(bytes, "base64"))).toBe(true);
});

test.each(Object.entries(golden.weighted))("%s with importances is bit-identical to ggml_quantize_chunk", (type, bytes) => {
  const written = quantize(type as WrittenGgmlType, values, floats(golden.importance));
  expect(Buffer.from(written).equals(Buffer.from(bytes, "base64"))).toBe(true);
});

test("half a block is refused as a defect of the caller", () => {
  expect(() => quantize("Q4_K", new Float32Array(128))).toThrow(RangeError);
  expect(() => quantize("Q4_0", new Float32Array(96), new Float32Array(64))).toThrow(RangeError);
  expect(() => quantize("Q4_0", new Float32Array(96), new Float32Array(48))).toThrow(RangeError);
});
