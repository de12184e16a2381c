/**
 * @file The seam between files and everything else: a checkpoint is a config, a list of tensors under Hugging Face's names
 * and in Hugging Face's orientation, and readers for them. A GGUF file and a safetensors folder look the same from here.
 */

import type { FloatDType } from "../tensor.ts";
import type { ModelConfig } from "./model-config.ts";

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
   * @param rows only rows `[start, end)` of a matrix, `end` exclusive.
   */
  readFloat32(name: string, rows?: { readonly start: number; readonly end: number }): Promise<Float32Array<ArrayBuffer>>;
  /**
   * The tensor's bytes exactly as stored, in Hugging Face's row order. Only for F32, F16 and BF16.
   */
  readBytes(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** The tokenizer's files, or null where the checkpoint has no tokenizer. */
  readTokenizerFiles(): Promise<TokenizerFiles | null>;
  /** Closes the files. Nothing can be read afterwards. */
  close(): Promise<void>;
}
