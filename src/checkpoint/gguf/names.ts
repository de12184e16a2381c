/**
 * @file GGUF's tensor names and row orders ↔ Hugging Face's, as data.
 * Source: `MODEL_TENSORS` of llama.cpp's `gguf-py/gguf/constants.py`; row order: `LlamaModel.permute` of `convert_hf_to_gguf.py`.
 */

import { blockTensorName, modelTensorName } from "../../families/index.ts";
import type { LlamaCppArchitecture } from "../../families/llama-cpp.ts";
import { isNormRole, isRotatedRole, type BlockRole, type ModelRole } from "../../families/roles.ts";
import type { Family } from "../../families/family.ts";

/** GGUF's name of a block tensor behind `blk.{i}.`. */
export const GGUF_BLOCK_TENSOR_NAMES: Readonly<Record<BlockRole, string>> = {
  attentionNorm: "attn_norm.weight",
  q: "attn_q.weight",
  k: "attn_k.weight",
  v: "attn_v.weight",
  o: "attn_output.weight",
  qBias: "attn_q.bias",
  kBias: "attn_k.bias",
  vBias: "attn_v.bias",
  oBias: "attn_output.bias",
  qNorm: "attn_q_norm.weight",
  kNorm: "attn_k_norm.weight",
  postAttentionNorm: "post_attention_norm.weight",
  ffnNorm: "ffn_norm.weight",
  gate: "ffn_gate.weight",
  up: "ffn_up.weight",
  down: "ffn_down.weight",
  postFfnNorm: "post_ffw_norm.weight",
};

/** GGUF's name of a tensor outside the blocks. */
export const GGUF_MODEL_TENSOR_NAMES: Readonly<Record<ModelRole, string>> = {
  embedding: "token_embd.weight",
  finalNorm: "output_norm.weight",
  outputHead: "output.weight",
};

/** The tensor with the factors that rotary frequencies are divided by, [K/2]; no weight of Hugging Face's model. */
export const ROPE_FACTORS_NAME = "rope_freqs.weight";

/** What a GGUF tensor is to Hugging Face's model. */
export interface GgufTensorMapping {
  /** Hugging Face's name. */
  readonly name: string;
  /** Rows are stored with each head's rotary halves interleaved. */
  readonly isInterleaved: boolean;
  /** What GGUF has added to the values. */
  readonly storedOffset: 0 | 1;
}

/** What a tensor is to Hugging Face's model; null where the family has no such tensor. */
export function mapGgufTensor(ggufName: string, family: Family, architecture: LlamaCppArchitecture): GgufTensorMapping | null {
  const mapRole = (role: BlockRole | ModelRole, name: string): GgufTensorMapping => ({
    name,
    isInterleaved: architecture.interleavesRotary && isRotatedRole(role),
    storedOffset: isNormRole(role) ? family.normOffset : 0,
  });
  const modelRole = roleOf(GGUF_MODEL_TENSOR_NAMES, ggufName);
  if (modelRole !== undefined) return mapRole(modelRole, modelTensorName(family, modelRole));
  const [, layer, blockName] = /^blk\.(0|[1-9]\d{0,8})\.(.+)$/.exec(ggufName) ?? [];
  if (layer === undefined || blockName === undefined) return null;
  const role = roleOf(GGUF_BLOCK_TENSOR_NAMES, blockName);
  if (role === undefined || family.tensorNames.block[role] === undefined) return null;
  return mapRole(role, blockTensorName(family, Number(layer), role));
}

function roleOf<Role extends string>(names: Readonly<Record<Role, string>>, name: string): Role | undefined {
  return (Object.keys(names) as Role[]).find((role) => names[role] === name);
}

/**
 * The row of an interleaved GGUF tensor that holds a row of Hugging Face's. In each head, Hugging Face has the first values of all
 * rotary pairs and then the second ones; GGUF has pair after pair.
 * @param headDim K, rows of a head.
 */
export function interleavedRow(row: number, headDim: number): number {
  const inHead = row % headDim;
  const half = headDim / 2;
  return row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
}
