/**
 * @file GGML's tensor types: id → name, and block sizes of those that cusprun reads.
 * Source: `enum ggml_type` of ggml-org/ggml `include/ggml.h`; sizes as in `GGML_QUANT_SIZES` of the `gguf` Python
 * package.
 */

import type { StoredDType } from "../checkpoint.ts";

/**
 * How the values of a type are stored: blocks of `blockSize` values in `blockBytes` bytes. A row is a whole number of
 * blocks.
 */
export interface GgmlBlockFormat {
  readonly blockSize: number;
  readonly blockBytes: number;
}

/** The types that cusprun reads. */
export const GGML_BLOCK_FORMATS: Readonly<Record<StoredDType, GgmlBlockFormat>> = {
  F32: { blockSize: 1, blockBytes: 4 },
  F16: { blockSize: 1, blockBytes: 2 },
  BF16: { blockSize: 1, blockBytes: 2 },
  Q4_0: { blockSize: 32, blockBytes: 18 },
  Q4_1: { blockSize: 32, blockBytes: 20 },
  Q5_0: { blockSize: 32, blockBytes: 22 },
  Q5_1: { blockSize: 32, blockBytes: 24 },
  Q8_0: { blockSize: 32, blockBytes: 34 },
  Q2_K: { blockSize: 256, blockBytes: 84 },
  Q3_K: { blockSize: 256, blockBytes: 110 },
  Q4_K: { blockSize: 256, blockBytes: 144 },
  Q5_K: { blockSize: 256, blockBytes: 176 },
  Q6_K: { blockSize: 256, blockBytes: 210 },
};

/** Names of all type ids that GGML has assigned, so that errors name an unsupported type. */
const GGML_TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [0, "F32"],
  [1, "F16"],
  [2, "Q4_0"],
  [3, "Q4_1"],
  [4, "Q4_2"],
  [5, "Q4_3"],
  [6, "Q5_0"],
  [7, "Q5_1"],
  [8, "Q8_0"],
  [9, "Q8_1"],
  [10, "Q2_K"],
  [11, "Q3_K"],
  [12, "Q4_K"],
  [13, "Q5_K"],
  [14, "Q6_K"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [20, "IQ4_NL"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [23, "IQ4_XS"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [30, "BF16"],
  [31, "Q4_0_4_4"],
  [32, "Q4_0_4_8"],
  [33, "Q4_0_8_8"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
  [36, "IQ4_NL_4_4"],
  [37, "IQ4_NL_4_8"],
  [38, "IQ4_NL_8_8"],
  [39, "MXFP4"],
  [40, "NVFP4"],
  [41, "Q1_0"],
]);

const GGML_TYPE_IDS: ReadonlyMap<string, number> = new Map([...GGML_TYPE_NAMES].map(([id, name]) => [name, id]));

/** The name of a type id, or null if GGML has not assigned it. */
export function ggmlTypeName(typeId: number): string | null {
  return GGML_TYPE_NAMES.get(typeId) ?? null;
}

/** Whether cusprun reads tensors of the named type. */
export function isReadableType(name: string): name is StoredDType {
  return Object.hasOwn(GGML_BLOCK_FORMATS, name);
}

/** Bytes of `count` values of a type; `count` is a multiple of the type's block size. */
export function ggmlByteLength(type: StoredDType, count: number): number {
  const { blockSize, blockBytes } = GGML_BLOCK_FORMATS[type];
  return (count / blockSize) * blockBytes;
}

/** The id of a type. */
export function ggmlTypeId(type: StoredDType): number {
  return GGML_TYPE_IDS.get(type)!;
}
