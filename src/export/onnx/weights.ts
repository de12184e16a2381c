/**
 * @file A checkpoint's tensors as the weights of an ONNX graph: names, shapes and sizes first, so that the file is
 * planned before a value is read; then their bytes in pieces of a few megabytes.
 */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { narrowFromFloat32 } from "../../float-convert.ts";
import type { ValueType } from "../../model/onnx-messages.ts";
import { elementCount } from "../../tensor.ts";
import { blocksOf, QUANT_BLOCK, quantizeRows4, quantizeRows8, zeroPointRowBytes } from "./quantize.ts";
import type { MatrixStorage } from "./types.ts";
import { rowPieces } from "../row-pieces.ts";
import { checkStoredRange } from "../stored-range.ts";

/** A weight of the graph. */
export interface PlannedWeight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: ValueType;
  readonly byteLength: number;
}

/**
 * A tensor of the checkpoint, and the weights that it becomes: itself, or its quants with their scales and zero points.
 */
export interface WeightSource {
  readonly weights: readonly PlannedWeight[];
  /** Number of values of the tensor. */
  readonly parameters: number;
  /** The weights' bytes, in order: each step yields the next piece of every weight. May be called once. */
  pieces(): AsyncIterable<readonly Uint8Array<ArrayBuffer>[]>;
}

/** Name of a quantized matrix' scales. */
export function scalesName(name: string): string {
  return `${name}.scales`;
}

/** Name of a 4-bit matrix' zero points. */
export function zeroPointsName(name: string): string {
  return `${name}.zero_points`;
}

/** A vector, always f32. @param offset is added to every value: `normOffset` for a norm. */
export function vectorWeight(checkpoint: Checkpoint, name: string, length: number, offset = 0): WeightSource {
  return {
    weights: [planned(name, [length], "f32", 4)],
    parameters: length,
    pieces: async function* () {
      const values = await checkpoint.readFloat32(name);
      yield [narrowFromFloat32(offset === 0 ? values : values.map((value) => value + offset), "F32")];
    },
  };
}

/**
 * A matrix [out, in].
 * @param storage as itself, or as quants [out, blocks, bytes], scales [out, blocks] and zero points.
 */
export function matrixWeight(
  checkpoint: Checkpoint,
  name: string,
  [rows = 0, columns = 0]: readonly number[],
  storage: MatrixStorage,
): WeightSource {
  const read = (encode: (values: Float32Array) => readonly Uint8Array<ArrayBuffer>[]) =>
    async function* (): AsyncIterable<readonly Uint8Array<ArrayBuffer>[]> {
      for (const range of rowPieces(rows, columns)) {
        const values = await checkpoint.readFloat32(name, range);
        checkValues(values, storage, name);
        yield encode(values);
      }
    };
  const parameters = rows * columns;
  const scales = planned(scalesName(name), [rows, blocksOf(columns)], "f16", 2);
  switch (storage) {
    case "f32":
      return {
        parameters,
        weights: [planned(name, [rows, columns], "f32", 4)],
        pieces: read((values) => [narrowFromFloat32(values, "F32")]),
      };
    case "f16":
      return {
        parameters,
        weights: [planned(name, [rows, columns], "f16", 2)],
        pieces: read((values) => [narrowFromFloat32(values, "F16")]),
      };
    case "q8":
      return {
        parameters,
        weights: [planned(name, [rows, blocksOf(columns), QUANT_BLOCK], "u8", 1), scales],
        pieces: read((values) => quantizeRows8(values, columns)),
      };
    case "q4":
      return {
        parameters,
        weights: [
          planned(name, [rows, blocksOf(columns), QUANT_BLOCK / 2], "u8", 1),
          scales,
          planned(zeroPointsName(name), [rows, zeroPointRowBytes(columns)], "u8", 1),
        ],
        pieces: read((values) => quantizeRows4(values, columns)),
      };
    default:
      throw storage satisfies never;
  }
}

function planned(name: string, shape: readonly number[], type: ValueType, elementBytes: number): PlannedWeight {
  return { name, shape, type, byteLength: elementCount(shape) * elementBytes };
}

/** @throws CusprunError `OUTPUT_DTYPE` for a value that the storage cannot hold. */
function checkValues(values: Float32Array, storage: MatrixStorage, name: string): void {
  checkStoredRange(values, { name, isFloat16: storage !== "f32", typeName: "binary16", remedy: "Write with --type f32" });
}
