/**
 * @file Which type each tensor of a GGUF file gets: the names that users know from llama-quantize, with the types that
 * it chooses.
 * Source: llama.cpp, `llama_tensor_get_type` and `use_more_bits` (src/llama-quant.cpp) without an importance matrix,
 * even if importances are known; `llama_ftype`.
 */

import type { BlockRole, ModelRole } from "../../families/roles.ts";
import { GGML_BLOCK_FORMATS } from "../../checkpoint/gguf/ggml-types.ts";
import type { StoredDType } from "../../checkpoint/checkpoint.ts";
import type { LayerSizes, ModelConfig } from "../../checkpoint/config/model-config.ts";
import type { WrittenGgmlType } from "./ggml-quantize.ts";

/** The file types that a user can request. `Q4_K` and `Q5_K` are llama-quantize's Q4_K_S and Q5_K_S. */
export const GGUF_FILE_TYPES = [
  "F32",
  "F16",
  "BF16",
  "Q8_0",
  "Q4_0",
  "Q4_1",
  "Q5_0",
  "Q5_1",
  "Q4_K",
  "Q5_K",
  "Q6_K",
  "Q4_K_M",
  "Q5_K_M",
] as const;

/** Name of a file type. */
export type GgufFileType = (typeof GGUF_FILE_TYPES)[number];

/** A matrix of the model: its role, its layer, and the length of its rows. */
export interface PlacedMatrix {
  readonly role: BlockRole | ModelRole;
  /** 0 outside the blocks. */
  readonly layer: number;
  readonly rowLength: number;
}

/** How a file type chooses the types of matrices. */
interface FileTypeRule {
  /** Value of `general.file_type`. */
  readonly id: number;
  /** The type of most matrices. */
  readonly base: WrittenGgmlType;
  /** A better type for some matrices of a layer; null: the base. */
  readonly better?: (role: BlockRole | ModelRole, layer: number, layers: number) => WrittenGgmlType | null;
}

/** `use_more_bits`: the first and the last eighth, and every third layer in between. */
function isSensitiveLayer(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}

const MEDIUM: FileTypeRule["better"] = (role, layer, layers) =>
  (role === "v" || role === "down") && isSensitiveLayer(layer, layers) ? "Q6_K" : null;

const SMALL_Q4: FileTypeRule["better"] = (role, layer, layers) => {
  const isFirst = (role === "v" && layer < 4) || (role === "down" && layer < Math.floor(layers / 8));
  return isFirst ? "Q5_K" : null;
};

const RULES: Readonly<Record<GgufFileType, FileTypeRule>> = {
  F32: { id: 0, base: "F32" },
  F16: { id: 1, base: "F16" },
  BF16: { id: 32, base: "BF16" },
  Q8_0: { id: 7, base: "Q8_0" },
  Q4_0: { id: 2, base: "Q4_0" },
  Q4_1: { id: 3, base: "Q4_1" },
  Q5_0: { id: 8, base: "Q5_0" },
  Q5_1: { id: 9, base: "Q5_1" },
  Q4_K: { id: 14, base: "Q4_K", better: SMALL_Q4 },
  Q5_K: { id: 16, base: "Q5_K" },
  Q6_K: { id: 18, base: "Q6_K" },
  Q4_K_M: { id: 15, base: "Q4_K", better: MEDIUM },
  Q5_K_M: { id: 17, base: "Q5_K", better: MEDIUM },
};

/** If rows are not a whole number of 256 values: a type with blocks of 32 and about as many bits. */
const SMALLER_BLOCKS: Readonly<Partial<Record<WrittenGgmlType, WrittenGgmlType>>> = { Q4_K: "Q5_0", Q5_K: "Q5_1", Q6_K: "Q8_0" };

/**
 * Number of layers of the one model size (70B) whose few value heads serve many queries, so that llama-quantize spends
 * more bits on them.
 */
const LAYERS_OF_70B = 80;

/** How a file stores its tensors: in a named file type, or each as the GGUF file that it is made from does. */
export type GgufStorage = GgufFileType | "as stored";

/** Value of `general.file_type` (`llama_ftype`). */
export function fileTypeId(fileType: GgufFileType): number {
  return RULES[fileType].id;
}

/** Whether a file type holds quantised blocks. */
export function isQuantized(fileType: GgufFileType): boolean {
  return GGML_BLOCK_FORMATS[RULES[fileType].base].blockSize > 1;
}

/** The type of a matrix. Vectors are always F32. */
export function matrixType(fileType: GgufFileType, matrix: PlacedMatrix, config: ModelConfig): WrittenGgmlType {
  const { base } = RULES[fileType];
  if (!isQuantized(fileType)) return base;
  return fittingType(wantedType(fileType, matrix, config), matrix);
}

/**
 * The type that a matrix is quantised to again so that it stays as it was stored: the same, or the fallback if its rows
 * no longer fit the blocks. The two types that are only read become the next larger one that is written.
 */
export function requantizedType(stored: StoredDType, rowLength: number): WrittenGgmlType {
  return fittingType(stored === "Q2_K" || stored === "Q3_K" ? "Q4_K" : stored, { rowLength });
}

/** The type with the most bits per value. */
export function finestType<T extends StoredDType>(types: readonly [T, ...T[]]): T {
  const bits = (type: T): number => GGML_BLOCK_FORMATS[type].blockBytes / GGML_BLOCK_FORMATS[type].blockSize;
  return types.reduce((finest, type) => (bits(type) > bits(finest) ? type : finest), types[0]);
}

function fittingType(wanted: WrittenGgmlType, row: { readonly rowLength: number }): WrittenGgmlType {
  if (fits(wanted, row)) return wanted;
  const smaller = SMALLER_BLOCKS[wanted] ?? "F16";
  return fits(smaller, row) ? smaller : "F16";
}

function wantedType(fileType: GgufFileType, matrix: PlacedMatrix, config: ModelConfig): WrittenGgmlType {
  const { base, better } = RULES[fileType];
  const { role, layer } = matrix;
  if (role === "outputHead" || (role === "embedding" && config.tieWordEmbeddings)) {
    return base === "Q8_0" || !fits(base, matrix) ? "Q8_0" : "Q6_K";
  }
  const chosen = better?.(role, layer, config.numHiddenLayers) ?? base;
  const is70B = config.numHiddenLayers === LAYERS_OF_70B && config.layerSizes.some(sharesKeys);
  return role === "v" && is70B && chosen === "Q4_K" ? "Q5_K" : chosen;
}

function sharesKeys({ numAttentionHeads, numKeyValueHeads }: LayerSizes): boolean {
  return numAttentionHeads !== numKeyValueHeads;
}

function fits(type: WrittenGgmlType, { rowLength }: { readonly rowLength: number }): boolean {
  return rowLength % GGML_BLOCK_FORMATS[type].blockSize === 0;
}
