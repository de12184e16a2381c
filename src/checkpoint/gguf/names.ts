/**
 * @file GGUF's tensor names and row orders ↔ Hugging Face's, as data.
 * Source: `MODEL_TENSORS` of llama.cpp's `gguf-py/gguf/constants.py`; row order: `LlamaModel.permute` of
 * `convert_hf_to_gguf.py`.
 */

import { blockTensorName, modelTensorName } from "../../families/index.ts";
import type { LlamaCppArchitecture } from "../../families/llama-cpp.ts";
import { isNormRole, isRotatedRole, type BlockRole, type ModelRole } from "../../families/roles.ts";
import type { Family } from "../../families/family.ts";

/** A block tensor in GGUF. `qkv` is one tensor with the rows of q, k and v, which some architectures have instead. */
export type GgufBlockRole = BlockRole | "qkv";

/** GGUF's name of a block tensor, after `blk.{layer}.`. */
const BLOCK_TENSOR_NAMES: Readonly<Record<GgufBlockRole, string>> = {
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
  qkv: "attn_qkv.weight",
};

/** Full name of a block tensor: its layer, and its own name. */
const BLOCK_TENSOR = /^blk\.(0|[1-9]\d{0,8})\.(.+)$/;

/** The block tensors that GGUF can store separately. */
export const GGUF_BLOCK_ROLES: readonly BlockRole[] = (Object.keys(BLOCK_TENSOR_NAMES) as GgufBlockRole[]).filter(
  (role) => role !== "qkv",
);

/** The block tensors that `qkv` consists of, in the order of their rows. */
export const FUSED_ROLES: readonly ["q", "k", "v"] = ["q", "k", "v"];

/** Whether a tensor is one of those that `qkv` consists of. */
export function isFusedRole(role: GgufBlockRole | ModelRole): role is (typeof FUSED_ROLES)[number] {
  return FUSED_ROLES.some((fused) => fused === role);
}

/** GGUF's full name of a block tensor, e.g. `blk.0.attn_q.weight`. */
export function ggufBlockTensorName(layer: number, role: GgufBlockRole): string {
  return `blk.${layer}.${BLOCK_TENSOR_NAMES[role]}`;
}

/** The layer and the role of a block tensor by GGUF's name; null for another tensor. */
export function parseGgufBlockTensorName(name: string): { readonly layer: number; readonly role: GgufBlockRole } | null {
  const [, layer, ownName = ""] = BLOCK_TENSOR.exec(name) ?? [];
  const role = roleOf(BLOCK_TENSOR_NAMES, ownName);
  return layer === undefined || role === undefined ? null : { layer: Number(layer), role };
}

/** GGUF's name of a tensor outside the blocks. */
export const GGUF_MODEL_TENSOR_NAMES: Readonly<Record<ModelRole, string>> = {
  embedding: "token_embd.weight",
  finalNorm: "output_norm.weight",
  outputHead: "output.weight",
};

/** The tensor with the factors that rotary frequencies are divided by, [K/2]; not a Hugging Face tensor. */
export const ROPE_FACTORS_NAME = "rope_freqs.weight";

/** The Hugging Face tensor that a GGUF tensor corresponds to. */
export interface GgufTensorMapping {
  /** Hugging Face's name. */
  readonly name: string;
  /** Rows are stored with each head's rotary halves interleaved. */
  readonly isInterleaved: boolean;
  /** Constant that GGUF adds to the values. */
  readonly storedOffset: 0 | 1;
}

/** The Hugging Face tensor that a GGUF tensor corresponds to; null if the family has no such tensor. */
export function mapGgufTensor(ggufName: string, family: Family, architecture: LlamaCppArchitecture): GgufTensorMapping | null {
  const mapRole = (role: BlockRole | ModelRole, name: string): GgufTensorMapping => ({
    name,
    isInterleaved: architecture.interleavesRotary && isRotatedRole(role),
    storedOffset: isNormRole(role) ? family.normOffset : 0,
  });
  const modelRole = roleOf(GGUF_MODEL_TENSOR_NAMES, ggufName);
  if (modelRole !== undefined) return mapRole(modelRole, modelTensorName(family, modelRole));
  const block = parseGgufBlockTensorName(ggufName);
  if (block === null || block.role === "qkv" || family.tensorNames.block[block.role] === undefined) return null;
  return mapRole(block.role, blockTensorName(family, block.layer, block.role));
}

function roleOf<Role extends string>(names: Readonly<Record<Role, string>>, name: string): Role | undefined {
  return (Object.keys(names) as Role[]).find((role) => names[role] === name);
}

/**
 * The row of an interleaved GGUF tensor that holds a given row of the Hugging Face tensor. In each head, Hugging Face
 * stores the first values of all rotary pairs, then the second ones; GGUF stores pair after pair.
 * @param headDim K, rows per head.
 */
export function interleavedRow(row: number, headDim: number): number {
  const inHead = row % headDim;
  const half = headDim / 2;
  return row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
}
