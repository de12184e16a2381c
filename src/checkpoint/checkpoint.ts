/**
 * @file The interface between model files and the rest of the program: a checkpoint is a config, tensors with Hugging
 * Face names and orientation, and readers for them. GGUF files and safetensors folders share this interface.
 */

import type { FloatDType } from "../tensor.ts";
import type { GgufMetadata } from "./gguf/values.ts";
import type { ModelConfig } from "./config/model-config.ts";

/** Quantised block formats of GGUF that cusprun can dequantise. */
export type GgmlQuantType = "Q4_0" | "Q4_1" | "Q5_0" | "Q5_1" | "Q8_0" | "Q2_K" | "Q3_K" | "Q4_K" | "Q5_K" | "Q6_K";

/** The storage type of a tensor. */
export type StoredDType = FloatDType | GgmlQuantType;

/** A tensor of a checkpoint, before its values are read. */
export interface TensorInfo {
  /** Hugging Face name, e.g. `model.layers.0.mlp.down_proj.weight`. */
  readonly name: string;
  /** In Hugging Face orientation, [out, in]. */
  readonly shape: readonly number[];
  readonly dtype: StoredDType;
  /** Size of the tensor in bytes, as stored. */
  readonly byteLength: number;
  /** File that contains it, for error messages. */
  readonly file: string;
}

/** The files of a tokenizer in Hugging Face form. Contents are UTF-8 JSON or text. */
export interface TokenizerFiles {
  /** Parsed `tokenizer.json`. */
  readonly tokenizerJson: Readonly<Record<string, unknown>>;
  /** Parsed `tokenizer_config.json`; includes `chat_template` if there is one. */
  readonly tokenizerConfig: Readonly<Record<string, unknown>>;
  /** Files that are copied unchanged to an output folder: file name → bytes. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Made from a GGUF file: a text has llama.cpp's ids, where those differ from the Rust tokenizers'. */
  readonly madeFrom?: "gguf";
  /** Keys left out of these files because the tokens that they name were removed; absent for a model's own files. */
  readonly leftOut?: readonly string[];
}

/** Rows of a tensor, `[start, end)`, `end` exclusive. */
export interface RowRange {
  readonly start: number;
  readonly end: number;
}

/** Reads rows of one tensor as bytes. A vector has one value per row. */
export type RowReader = (rows: RowRange) => Promise<Uint8Array<ArrayBuffer>>;

/** Contents of a GGUF file that are needed to write another GGUF file without loss. */
export interface GgufOrigin {
  /** The header's keys in file order. They describe the file itself, even if tokens have been removed since. */
  readonly metadata: GgufMetadata;
  /** A key's value with its type, encoded as in the file. */
  readValue(key: string): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Reader of a tensor's rows as stored in the file: in the tensor's own type, norms with the offset that GGUF adds,
   * but in Hugging Face row order. Null if the rows have changed, because columns were removed or values were refitted.
   */
  rowsAsStored(name: string): RowReader | null;
  /** New ids of the kept tokens, by their ids in the file; null if all tokens are kept. */
  readonly tokenIds: ReadonlyMap<number, number> | null;
}

/** Tensors of a model that are not part of its text model. */
export interface LeftOutTensors {
  /** Names of the parts, e.g. `vision_tower`. */
  readonly parts: readonly string[];
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
}

/** An opened checkpoint. Opening it checks headers, sizes, offsets and shapes, and reads no weights. */
export interface Checkpoint {
  /** The path that was opened. */
  readonly path: string;
  readonly format: "safetensors" | "gguf";
  readonly config: ModelConfig;
  /** The config.json on which an output's config is based: the input's own, or one derived from the GGUF header. */
  readonly configJson: Readonly<Record<string, unknown>>;
  /** generation_config.json, or null if there is none and none can be derived. */
  readonly generationConfigJson: Readonly<Record<string, unknown>> | null;
  /** All tensors by Hugging Face name, in file order. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Reads the values of a tensor, dequantised or widened to f32.
   * @param rows restricts reading to these rows of a matrix.
   * @throws CusprunError `WEIGHTS_NOT_FINITE`.
   */
  readFloat32(name: string, rows?: RowRange): Promise<Float32Array<ArrayBuffer>>;
  /**
   * Reads the tensor's bytes exactly as stored, in Hugging Face row order. Only for F32, F16 and BF16.
   * @param rows restricts reading to these rows of a matrix.
   */
  readBytes(name: string, rows?: RowRange): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Importance of each column of a matrix for its quantisation, [columns]; null if unknown. Absent if unknown for all
   * matrices.
   */
  readImportance?(name: string): Promise<Float32Array | null>;
  /** Reads the tokenizer's files, or null if the checkpoint has no tokenizer. */
  readTokenizerFiles(): Promise<TokenizerFiles | null>;
  /** What the files hold besides the text model, e.g. an image encoder; absent or null if there is nothing else. */
  readonly leftOut?: LeftOutTensors | null;
  /**
   * The path of a weight file whose size or times have changed since it was opened, or null; a file that was replaced
   * by another one of its name stays open and unchanged. Absent for checkpoints that are not read from files.
   */
  changedFile?(): Promise<string | null>;
  /** Additional contents of a GGUF file; absent for other formats. */
  readonly gguf?: GgufOrigin;
  /** Closes the files. Nothing can be read afterwards. */
  close(): Promise<void>;
}
