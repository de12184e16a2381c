/**
 * @file The only error type of cusprun. Every failure that a user can cause or fix is thrown as a `CusprunError`: a
 * stable code, the location (file, tensor, line), the value found, the value expected, and the remedy. Any other
 * exception is a bug in cusprun.
 */

/** Exit code of the process for each class of errors; 0 is success, 130 is Ctrl-C, 70 is a bug in cusprun. */
export const EXIT_CODES = { usage: 2, model: 3, corpus: 4, budget: 5, output: 6, network: 7 } as const;

/** The class of an error, which determines the exit code of the process. */
export type ErrorClass = keyof typeof EXIT_CODES;

/** Every code with its `ErrorClass`. Codes are stable: scripts may match on them. */
export const ERROR_CODES = {
  USAGE: "usage",
  TOKENIZER_MISSING: "model",
  UNKNOWN_FAMILY: "model",
  JSON_INVALID: "model",
  CONFIG_INVALID: "model",
  CONFIG_UNSUPPORTED: "model",
  MODEL_NOT_FOUND: "model",
  MODEL_FILE_MISSING: "model",
  MODEL_FILE_LINK: "model",
  SAFETENSORS_TOO_SHORT: "model",
  SAFETENSORS_HEADER_LENGTH: "model",
  SAFETENSORS_HEADER_JSON: "model",
  SAFETENSORS_DUPLICATE_KEY: "model",
  SAFETENSORS_ENTRY: "model",
  SAFETENSORS_DTYPE: "model",
  SAFETENSORS_SHAPE: "model",
  SAFETENSORS_OFFSETS: "model",
  SAFETENSORS_SIZE: "model",
  SAFETENSORS_OVERLAP: "model",
  SAFETENSORS_HOLE: "model",
  SAFETENSORS_TRUNCATED: "model",
  SAFETENSORS_TRAILING: "model",
  SHARD_INDEX: "model",
  SHARD_MISSING: "model",
  SHARD_MISMATCH: "model",
  TENSOR_MISSING: "model",
  TENSOR_UNKNOWN: "model",
  TENSOR_DUPLICATE: "model",
  TENSOR_SHAPE: "model",
  TENSOR_DTYPE: "model",
  WEIGHTS_NOT_FINITE: "model",
  MODEL_CHANGED: "model",
  MODEL_OVERFLOW: "model",
  MODEL_NAME: "usage",
  DATASET_NAME: "usage",
  HUB_NOT_FOUND: "network",
  HUB_FORBIDDEN: "network",
  HUB_UNREACHABLE: "network",
  HUB_RESPONSE: "network",
  DOWNLOAD_FAILED: "network",
  CHECKSUM: "network",
  GGUF_MAGIC: "model",
  GGUF_BIG_ENDIAN: "model",
  GGUF_VERSION: "model",
  GGUF_TRUNCATED: "model",
  GGUF_HEADER_TOO_LARGE: "model",
  GGUF_COUNT: "model",
  GGUF_STRING: "model",
  GGUF_VALUE: "model",
  GGUF_DUPLICATE_KEY: "model",
  GGUF_ALIGNMENT: "model",
  GGUF_DUPLICATE_TENSOR: "model",
  GGUF_TENSOR_TYPE: "model",
  GGUF_DIMENSIONS: "model",
  GGUF_ROW_LENGTH: "model",
  GGUF_OFFSET: "model",
  GGUF_OVERLAP: "model",
  GGUF_SPLIT: "model",
  GGUF_KEY_MISSING: "model",
  GGUF_KEY_INVALID: "model",
  GGUF_RAGGED: "model",
  GGUF_UNSUPPORTED: "model",
  BUDGET_INVALID: "budget",
  BUDGET_UNREACHABLE: "budget",
  DEVICE_UNAVAILABLE: "usage",
  SELECTION_INVALID: "usage",
  SCORES_LACK: "usage",
  LAYOUT_UNSUPPORTED: "usage",
  PLAN_INVALID: "usage",
  PLAN_MISMATCH: "usage",
  TOKENIZER_INVALID: "model",
  TOKENIZER_UNSUPPORTED: "model",
  CHAT_TEMPLATE: "model",
  CHAT_TEMPLATE_MISSING: "corpus",
  CORPUS_NOT_FOUND: "corpus",
  CORPUS_FORMAT: "corpus",
  CORPUS_EMPTY: "corpus",
  CORPUS_ENCODING: "corpus",
  CORPUS_JSON: "corpus",
  CORPUS_FIELD: "corpus",
  CORPUS_PARQUET: "corpus",
  CORPUS_CSV: "corpus",
  CORPUS_CHAT: "corpus",
  DATASET_PART: "usage",
  CORPUS_COMPRESSED: "corpus",
  CORPUS_TOO_LARGE: "corpus",
  CORPUS_TOO_SHORT: "corpus",
  CORPUS_CHANGED: "corpus",
  TOKEN_WITHOUT_ROW: "corpus",
  PRESET_UNKNOWN: "usage",
  TASK_FIELD: "corpus",
  TASK_TYPE: "corpus",
  TASK_ANSWER: "corpus",
  TASK_METRIC: "corpus",
  TASK_TOKENS: "corpus",
  OUTPUT_EXISTS: "output",
  OUTPUT_BUSY: "output",
  OUTPUT_UNWRITABLE: "output",
  OUTPUT_DTYPE: "output",
  EXPORT_UNSUPPORTED: "output",
  DISK_FULL: "output",
  SCRATCH_LOST: "output",
  SCORES_INVALID: "model",
  REPAIR_UNSUPPORTED: "usage",
  MEMORY_LIMIT: "usage",
} as const;

/** Longest place, and longest value found, in a message. */
const MAX_PART_CHARACTERS = 600;

/** A stable error code. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** The parts of an error message, each plain text without a final full stop. */
export interface ErrorParts {
  /** The file, and the tensor, key or line in it, e.g. `model.safetensors: tensor 'model.norm.weight'`. */
  readonly where: string;
  /** The value found there. */
  readonly found: string;
  /** The value expected instead. */
  readonly expected: string;
  /** How the user can fix it. */
  readonly remedy: string;
}

/**
 * An error with a stable code, whose message names the location, the values found and expected, and the remedy.
 * @example
 * ```ts
 * import { CusprunError, describeModel } from "cusprun";
 *
 * try {
 *   await describeModel("no-such-folder");
 * } catch (error) {
 *   if (!(error instanceof CusprunError)) throw error;
 *   console.error(error.code, error.parts.remedy); // MODEL_NOT_FOUND, and what to do about it
 * }
 * ```
 */
export class CusprunError extends Error {
  readonly code: ErrorCode;
  readonly parts: ErrorParts;

  constructor(code: ErrorCode, given: ErrorParts, options?: { readonly cause?: unknown }) {
    const parts = { ...given, where: withoutMiddle(given.where), found: withoutMiddle(given.found) };
    super(`${parts.where}: found ${parts.found}, expected ${parts.expected}. ${parts.remedy}.`, options);
    this.name = "CusprunError";
    this.code = code;
    this.parts = parts;
  }

  /** Exit code of the process for this error. */
  get exitCode(): number {
    return EXIT_CODES[ERROR_CODES[this.code]];
  }
}

/** Names in files may be thousands of characters long; the start and the end of a place say most. */
function withoutMiddle(text: string): string {
  const half = MAX_PART_CHARACTERS / 2;
  return text.length <= MAX_PART_CHARACTERS ? text : `${text.slice(0, half)}…${text.slice(-half)}`;
}
