/**
 * @file The seam between files and everything else: a checkpoint is a config, a list of tensors under Hugging Face's names
 * and in Hugging Face's orientation, and readers for them. A GGUF file and a safetensors folder look the same from here.
 */

import type { FloatDType } from "../tensor.ts";
import type { GgufMetadata } from "./gguf/values.ts";
import type { ModelConfig } from "./config/model-config.ts";

/** Quantised block formats of GGUF that cusprun dequantises. */
export type GgmlQuantType = "Q4_0" | "Q4_1" | "Q5_0" | "Q5_1" | "Q8_0" | "Q2_K" | "Q3_K" | "Q4_K" | "Q5_K" | "Q6_K";

/** How a tensor is stored. */
export type StoredDType = FloatDType | GgmlQuantType;

/** A tensor of a checkpoint, before its values are read. */
export interface TensorInfo {
  /** Hugging Face's name, e.g. `model.layers.0.mlp.down_proj.weight`. */
  readonly name: string;
  /** Hugging Face's orientation, [out, in]. */
  readonly shape: readonly number[];
  readonly dtype: StoredDType;
  /** Bytes of the tensor as stored. */
  readonly byteLength: number;
  /** File that holds it, for messages. */
  readonly file: string;
}

/** Files that make up a tokenizer in Hugging Face's form. Contents are UTF-8 JSON or text, by file name. */
export interface TokenizerFiles {
  /** Parsed `tokenizer.json`. */
  readonly tokenizerJson: Readonly<Record<string, unknown>>;
  /** Parsed `tokenizer_config.json`; holds `chat_template` where there is one. */
  readonly tokenizerConfig: Readonly<Record<string, unknown>>;
  /** Every file to be carried over unchanged to an output folder: file name → bytes. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Rows of a tensor, `[start, end)`, `end` exclusive. */
export interface RowRange {
  readonly start: number;
  readonly end: number;
}

/** Reads rows of one tensor as bytes. A vector has one value per row. */
export type RowReader = (rows: RowRange) => Promise<Uint8Array<ArrayBuffer>>;

/** What only a GGUF file has: what another GGUF file is written from without loss. */
export interface GgufOrigin {
  /** The header's keys in the order of the file; of the file itself, also where tokens were taken out since. */
  readonly metadata: GgufMetadata;
  /** A key's value with its type, encoded as in the file. */
  readValue(key: string): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Reader of a tensor's rows as the file stores them: in the tensor's own type, norms with the offset that GGUF adds, but in Hugging Face's
   * row order. Null where rows are no longer so, since their columns were cut or their values fitted anew.
   */
  rowsAsStored(name: string): RowReader | null;
  /** New ids of the tokens that stayed, by the file's; null where all did. */
  readonly tokenIds: ReadonlyMap<number, number> | null;
}

/** An opened checkpoint. Opening checks headers, sizes, offsets and shapes and reads no weight. */
export interface Checkpoint {
  /** The path that was opened. */
  readonly path: string;
  readonly format: "safetensors" | "gguf";
  readonly config: ModelConfig;
  /** The config.json to start an output's config from: the input's own, or one made from the GGUF header. */
  readonly configJson: Readonly<Record<string, unknown>>;
  /** generation_config.json, where there is one or one can be made. */
  readonly generationConfigJson: Readonly<Record<string, unknown>> | null;
  /** Every tensor, by Hugging Face's name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /**
   * Values of a tensor, dequantised or widened to f32.
   * @param rows only these rows of a matrix.
   */
  readFloat32(name: string, rows?: RowRange): Promise<Float32Array<ArrayBuffer>>;
  /**
   * The tensor's bytes exactly as stored, in Hugging Face's row order. Only for F32, F16 and BF16.
   * @param rows only these rows of a matrix.
   */
  readBytes(name: string, rows?: RowRange): Promise<Uint8Array<ArrayBuffer>>;
  /** How much each column of a matrix counts when it is quantised, [columns]; null where it is not known. Absent where none is. */
  readImportance?(name: string): Promise<Float32Array | null>;
  /** The tokenizer's files, or null where the checkpoint has no tokenizer. */
  readTokenizerFiles(): Promise<TokenizerFiles | null>;
  /** What a GGUF file has beside this; absent for other formats. */
  readonly gguf?: GgufOrigin;
  /** Closes the files. Nothing can be read afterwards. */
  close(): Promise<void>;
}
