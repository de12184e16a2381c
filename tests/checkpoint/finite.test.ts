/**
 * @file Weights that are not finite, in every storage type. The reference is the values themselves, which the tests of
 * `widenToFloat32` and `dequantizeInto` compare with other programs.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkFinite, checkStoredFinite, isFinite32 } from "../../src/checkpoint/finite.ts";
import type { StoredDType, TensorInfo } from "../../src/checkpoint/checkpoint.ts";
import { dequantizeInto } from "../../src/checkpoint/gguf/ggml-dequantize.ts";
import { GGML_BLOCK_FORMATS } from "../../src/checkpoint/gguf/ggml-types.ts";
import { CusprunError } from "../../src/errors.ts";

const TYPES = Object.keys(GGML_BLOCK_FORMATS) as StoredDType[];
const FLOATS = ["F32", "F16", "BF16"] as const;

function tensor(dtype: StoredDType, rowLength: number): TensorInfo {
  return { name: "some.weight", shape: [1000, rowLength], dtype, byteLength: 0, file: "model.gguf" };
}

function valuesOf(dtype: StoredDType, bytes: Uint8Array): Float32Array {
  const { blockSize, blockBytes } = GGML_BLOCK_FORMATS[dtype];
  const values = new Float32Array((bytes.length / blockBytes) * blockSize);
  dequantizeInto(dtype, bytes, values);
  return values;
}

function refusalOf(check: () => unknown): CusprunError | null {
  try {
    check();
    return null;
  } catch (error) {
    if (error instanceof CusprunError) return error;
    throw error;
  }
}

describe.each(TYPES)("%s", (dtype) => {
  const { blockSize, blockBytes } = GGML_BLOCK_FORMATS[dtype];

  test("any bytes are refused if and only if a value of them is not finite, and the place of one is named", () => {
    const blocks = fc.integer({ min: 1, max: 24 });
    const rows = fc.tuple(blocks, fc.integer({ min: 0, max: 900 }), fc.infiniteStream(fc.integer({ min: 0, max: 255 })));
    fc.assert(
      fc.property(rows, ([count, firstRow, random]) => {
        const bytes = Uint8Array.from({ length: count * blockBytes }, () => Number(random.next().value));
        const values = valuesOf(dtype, bytes);
        const error = refusalOf(() => checkStoredFinite(tensor(dtype, blockSize), bytes, firstRow));
        expect(error === null).toBe(values.every(Number.isFinite));
        if (error === null) return;
        expect(error.code).toBe("WEIGHTS_NOT_FINITE");
        expect(error.parts.where).toBe("model.gguf: tensor 'some.weight'");
        const row = Number(/in row (\d+)/.exec(error.parts.found)?.[1]) - firstRow;
        expect(values.subarray(row * blockSize, (row + 1) * blockSize).every(Number.isFinite)).toBe(false);
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  test("one scale or value that is not finite is found wherever it is", () => {
    const bad = { F32: [0x7f, 0xc0, 0, 0], BF16: [0x7f, 0xc0], F16: [0x7e, 0x00] };
    const [high, ...rest] = dtype === "F32" || dtype === "BF16" ? bad[dtype] : bad.F16;
    const pattern = [...rest.toReversed(), high!];
    for (let offset = 0; offset + pattern.length <= blockBytes; offset += pattern.length) {
      for (const block of [0, 1, 6]) {
        const bytes = new Uint8Array(7 * blockBytes);
        bytes.set(pattern, block * blockBytes + offset);
        const isBad = !valuesOf(dtype, bytes).every(Number.isFinite);
        const error = refusalOf(() => checkStoredFinite(tensor(dtype, 7 * blockSize), bytes, 3));
        expect(error !== null).toBe(isBad);
        const column = block * blockSize;
        const columns = blockSize === 1 ? `column ${column}` : `columns ${column} to ${column + blockSize - 1}`;
        if (isBad) expect(error!.parts.found).toBe(`${blockSize === 1 ? "NaN" : "a scale that is NaN,"} in row 3, ${columns}`);
      }
    }
  });
});

describe.each(FLOATS)("%s", (dtype) => {
  const limits = { F32: [0x7f7f_ffff, 0x7f80_0000], F16: [0x7bff, 0x7c00], BF16: [0x7f7f, 0x7f80] }[dtype];
  const bytesOf = (bits: readonly number[]): Uint8Array =>
    new Uint8Array(dtype === "F32" ? Uint32Array.from(bits).buffer : Uint16Array.from(bits).buffer);
  const negative = dtype === "F32" ? 0x8000_0000 : 0x8000;

  test("the largest finite value passes and infinity does not, of either sign, next to either, at an odd count", () => {
    const [largest, infinity] = limits as [number, number];
    const finite = [0, negative, largest, largest + negative, 1, 1 + negative, largest];
    checkStoredFinite(tensor(dtype, 7), bytesOf(finite), 0);
    for (const [index] of finite.entries()) {
      for (const bits of [infinity, infinity + negative]) {
        const error = refusalOf(() => checkStoredFinite(tensor(dtype, 7), bytesOf(finite.with(index, bits)), 0));
        expect(error!.parts.found).toBe(`${bits === infinity ? "" : "-"}Infinity in row 0, column ${index}`);
      }
    }
  });

  test("bytes at an odd address are read", () => {
    const shifted = new Uint8Array(bytesOf(limits).length + 1);
    shifted.set(bytesOf(limits), 1);
    expect(refusalOf(() => checkStoredFinite(tensor(dtype, 2), shifted.subarray(1), 0))!.parts.found).toMatch(/column 1$/);
  });
});

test("a vector's position is named", () => {
  const vector = { ...tensor("F32", 1), shape: [9] };
  expect(refusalOf(() => checkFinite(vector, Float32Array.of(1, Number.NaN), 4))!.parts.found).toBe("NaN at position 5");
});

test("values are finite if and only if each of them is", () => {
  const anyFloat = fc.float({ noDefaultInfinity: false, noNaN: false });
  fc.assert(
    fc.property(fc.array(anyFloat, { maxLength: 40 }), (values) => {
      const floats = Float32Array.from(values);
      expect(isFinite32(floats)).toBe(floats.every(Number.isFinite));
    }),
  );
});
