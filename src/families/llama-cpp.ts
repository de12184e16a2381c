/**
 * @file llama.cpp's architectures, in one table for reading and writing GGUF files: how each stores a decoder and what
 * it can compute. llama.cpp ignores what it does not know and computes something else, so everything here is checked
 * before a file is written.
 * Source: llama.cpp, `llama_model::load_hparams` and `load_tensors`; `permute` in `convert_hf_to_gguf.py`.
 */

import type { BlockRole } from "./roles.ts";

/** An architecture of llama.cpp: the traits in which those of the supported families differ. */
export interface LlamaCppArchitecture {
  /** `general.architecture`, and the prefix of its keys. */
  readonly name: string;
  /** Rows of q and k are stored with each head's rotary halves interleaved. */
  readonly interleavesRotary: boolean;
  /** Accepts a head size other than hidden size / heads. */
  readonly freeHeadSize: boolean;
  /** Computes layers of different sizes; the others use layer 0's sizes for all. */
  readonly ragged: boolean;
  /** Reads `rope_freqs.weight`. */
  readonly ropeFactors: boolean;
  /**
   * Computes sliding layers with a window and their own rotary base, where every `defaultPeriod`-th layer has full
   * attention unless the file has another period; null: it knows full attention only.
   */
  readonly sliding: { readonly defaultPeriod: number } | null;
  /** Stores q, k and v in one tensor. */
  readonly fusesQkv: boolean;
  /** Always uses the token embedding as output head. */
  readonly tiesHead: boolean;
  /**
   * Number of layers of the model whose queries it scales by 1/√(hiddenSize/heads) instead of 1/√headDim; null: none.
   */
  readonly hiddenScaleLayers: number | null;
  /** Block tensors that may be present or absent. */
  readonly optionalRoles: readonly BlockRole[];
}

const PLAIN: Omit<LlamaCppArchitecture, "name"> = {
  interleavesRotary: false,
  freeHeadSize: true,
  ragged: false,
  ropeFactors: false,
  sliding: null,
  fusesQkv: false,
  tiesHead: false,
  hiddenScaleLayers: null,
  optionalRoles: [],
};

export const LLAMA_ARCHITECTURE: LlamaCppArchitecture = {
  ...PLAIN,
  name: "llama",
  interleavesRotary: true,
  ropeFactors: true,
  optionalRoles: ["qBias", "kBias", "vBias", "oBias"],
};

/** A Llama whose layers may differ in size. */
export const DECI_ARCHITECTURE: LlamaCppArchitecture = { ...LLAMA_ARCHITECTURE, name: "deci", ragged: true };

export const QWEN2_ARCHITECTURE: LlamaCppArchitecture = { ...PLAIN, name: "qwen2", freeHeadSize: false };

export const QWEN3_ARCHITECTURE: LlamaCppArchitecture = { ...PLAIN, name: "qwen3" };

/** A tied Qwen3 whose layers may differ in size. */
export const OPENELM_ARCHITECTURE: LlamaCppArchitecture = {
  ...PLAIN,
  name: "openelm",
  ragged: true,
  fusesQkv: true,
  tiesHead: true,
};

export const GEMMA3_ARCHITECTURE: LlamaCppArchitecture = {
  ...PLAIN,
  name: "gemma3",
  sliding: { defaultPeriod: 6 },
  // Gemma 3 27B.
  hiddenScaleLayers: 62,
};
