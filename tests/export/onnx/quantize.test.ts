import { expect, test } from "vitest";
import { dequantizeInto } from "../../../src/checkpoint/gguf/ggml-dequantize.ts";
import { quantize } from "../../../src/export/gguf/ggml-quantize.ts";
import { quantizeRows4, quantizeRows8 } from "../../../src/export/onnx/quantize.ts";
import { widenToFloat32 } from "../../../src/float-convert.ts";
import { seededNormal } from "../../support/tiny-models.ts";

const normal = seededNormal(7);
const VALUES = Float32Array.from({ length: 64 * 96 }, () => 0.02 * normal());

function throughGgml(type: "Q8_0" | "Q4_0"): Float32Array {
  const values = new Float32Array(VALUES.length);
  dequantizeInto(type, quantize(type, VALUES), values);
  return values;
}

test("values of Q8_0 are preserved exactly", () => {
  const values = throughGgml("Q8_0");
  const [quants, scales] = quantizeRows8(values, 96);
  const widened = widenToFloat32(scales, "F16");
  expect(Float32Array.from(quants, (quant, index) => (quant - 128) * widened[index >> 5]!)).toEqual(values);
});

function widen4(values: Float32Array, rowLength: number): Float32Array {
  const [quants, scales, zeroPoints] = quantizeRows4(values, rowLength);
  const widened = widenToFloat32(scales, "F16");
  const blocks = rowLength / 32;
  return values.map((_, index) => {
    const block = index >> 5;
    const zeroAt = Math.floor(block / blocks) * 2 * Math.ceil(blocks / 2) + (block % blocks);
    const half = (bytes: Uint8Array, at: number): number => (bytes[at >> 1]! >> (4 * (at & 1))) & 15;
    return (half(quants, index) - half(zeroPoints, zeroAt)) * widened[block]!;
  });
}

function squaredError(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + (value - b[index]!) ** 2, 0);
}

test("four bits lose less than GGML's Q4_0, whose scale is derived from the largest value", () => {
  expect(squaredError(widen4(VALUES, 96), VALUES)).toBeLessThan(squaredError(throughGgml("Q4_0"), VALUES));
});

test.each([
  { block: "zeros", value: () => 0 },
  { block: "one positive value", value: () => 0.5 },
  { block: "one negative value", value: () => -0.5 },
  { block: "a single value", value: (index: number) => (index === 5 ? 3 : 0) },
])("a block of $block is exact", ({ value }) => {
  const values = Float32Array.from({ length: 64 }, (_, index) => value(index));
  expect(squaredError(widen4(values, 64), values)).toBeLessThan(1e-6);
});
