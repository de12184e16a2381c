/**
 * @file The sizes of a model in a GGUF file: under config.json's names, and for each layer if the architecture allows
 * layers to differ.
 * Source: llama.cpp, `llama_model::load_hparams`, also of `deci` and `openelm`.
 */

import { CusprunError } from "../../errors.ts";
import type { LlamaCppArchitecture } from "../../families/llama-cpp.ts";
import { MAX_SIZES } from "../config/model-config-check.ts";
import type { LayerSizes } from "../config/model-config.ts";
import { CONVERT_AGAIN, type GgufFields } from "./fields.ts";
import type { GgufTensor } from "./layout.ts";
import { GGUF_MODEL_TENSOR_NAMES } from "./names.ts";

/**
 * Sizes of each layer, or null if all layers have the same.
 * @throws CusprunError `GGUF_KEY_INVALID`, `GGUF_KEY_MISSING`.
 */
export function readRaggedSizes(fields: GgufFields, { name: prefix, ragged }: LlamaCppArchitecture): LayerSizes[] | null {
  if (!ragged) return null;
  const layers = fields.uniformInteger(`${prefix}.block_count`);
  const [widths, heads, groups] = ["feed_forward_length", "attention.head_count", "attention.head_count_kv"].map((name) =>
    fields.layerIntegers(`${prefix}.${name}`, layers),
  );
  if ([widths, heads, groups].every((sizes) => new Set(sizes).size === 1)) return null;
  return widths!.map((intermediateSize, layer) => ({
    intermediateSize,
    numAttentionHeads: heads![layer]!,
    numKeyValueHeads: groups![layer]!,
  }));
}

/** Sizes of a model, under config.json's names. */
export interface GgufSizes extends CommonSizes {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
}

/** Sizes in which layers may differ. */
interface CommonSizes {
  readonly intermediate_size: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
}

/**
 * Reads the sizes.
 * @param ragged sizes of each layer if they differ; the result then has sizes that transformers accepts for one layer.
 * @throws CusprunError `GGUF_KEY_INVALID`, `GGUF_KEY_MISSING`, `GGUF_RAGGED`, `GGUF_UNSUPPORTED`, `TENSOR_MISSING`.
 */
export function readSizes(
  fields: GgufFields,
  architecture: string,
  tensors: ReadonlyMap<string, GgufTensor>,
  ragged: readonly LayerSizes[] | null,
): GgufSizes {
  const hiddenSize = fields.uniformInteger(`${architecture}.embedding_length`);
  const common = ragged === null ? readCommonSizes(fields, architecture) : standInSizes(ragged, hiddenSize);
  const heads = common.num_attention_heads;
  const headDim = fields.optionalUniformInteger(`${architecture}.attention.key_length`) ?? hiddenSize / heads;
  for (const name of ["attention.value_length", "rope.dimension_count"]) {
    const size = fields.optionalUniformInteger(`${architecture}.${name}`) ?? headDim;
    if (size !== headDim) throw fields.unsupported(`${architecture}.${name}`, `the head size ${headDim}`);
  }
  return {
    vocab_size: readVocabularySize(tensors, fields.path),
    hidden_size: hiddenSize,
    ...common,
    num_hidden_layers: fields.uniformInteger(`${architecture}.block_count`),
    head_dim: headDim,
    max_position_embeddings: fields.uniformInteger(`${architecture}.context_length`),
    rms_norm_eps: readNormEps(fields, architecture),
  };
}

/** Sizes that all layers share. */
function readCommonSizes(fields: GgufFields, architecture: string): CommonSizes {
  const heads = fields.uniformInteger(`${architecture}.attention.head_count`);
  return {
    intermediate_size: fields.uniformInteger(`${architecture}.feed_forward_length`),
    num_attention_heads: heads,
    num_key_value_heads: fields.optionalUniformInteger(`${architecture}.attention.head_count_kv`) ?? heads,
  };
}

/** The largest sizes, with a number of heads that divides the hidden size: transformers refuses others. */
function standInSizes(layers: readonly LayerSizes[], hiddenSize: number): CommonSizes {
  const most = Math.max(...layers.map(({ numAttentionHeads }) => numAttentionHeads));
  let heads = Math.min(most, MAX_SIZES.numAttentionHeads);
  while (hiddenSize % heads !== 0) heads--;
  const widest = Math.max(...layers.map(({ intermediateSize }) => intermediateSize));
  return { intermediate_size: widest, num_attention_heads: heads, num_key_value_heads: heads };
}

/**
 * Rows of the embedding. The key `vocab_size` is ignored, as in llama.cpp, because files differ in whether it counts
 * padding.
 */
function readVocabularySize(tensors: ReadonlyMap<string, GgufTensor>, path: string): number {
  const rows = tensors.get(GGUF_MODEL_TENSOR_NAMES.embedding)?.shape[0];
  if (rows !== undefined) return rows;
  throw new CusprunError("TENSOR_MISSING", {
    where: path,
    found: `${tensors.size} tensors, without '${GGUF_MODEL_TENSOR_NAMES.embedding}'`,
    expected: "the token embedding of a language model",
    remedy: "Choose a file with the model's weights, not one with its vocabulary only",
  });
}

function readNormEps(fields: GgufFields, architecture: string): number {
  const key = `${architecture}.attention.layer_norm_rms_epsilon`;
  const eps = fields.optionalNumber(key);
  if (eps !== undefined) return eps;
  throw fields.error("GGUF_KEY_MISSING", key, "no such key", "a positive number", CONVERT_AGAIN);
}
