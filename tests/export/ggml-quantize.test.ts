/**
 * @file Quantisers against llama.cpp's own (tests/reference/make_quantize_goldens.py): every byte the same.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { quantize, type WrittenGgmlType } from "../../src/export/ggml-quantize.ts";

interface Golden {
  readonly values: string;
  readonly quantised: Readonly<Record<string, string>>;
}
const golden = JSON.parse(readFileSync(join(import.meta.dirname, "../fixtures/gguf/quantize.json"), "utf8")) as Golden;
const values = new Float32Array(Uint8Array.from(Buffer.from(golden.values, "base64")).buffer);

test.each(Object.entries(golden.quantised))("%s is bit-identical to ggml_quantize_chunk", (type, bytes) => {
  expect(Buffer.from(quantize(type as WrittenGgmlType, values)).equals(Buffer.from(bytes, "base64"))).toBe(true);
});

test("half a block is a defect of the caller", () => {
  expect(() => quantize("Q4_K", new Float32Array(128))).toThrow(RangeError);
});
