/**
 * @file Sizes of each layer of a GGUF file, where the architecture lets them differ, and the one tensor that q, k and v are there.
 * Source: llama.cpp, `load_hparams` and `load_tensors` of `deci` and `openelm`.
 */

import { type BlockSizes, blockSizes } from "../check-tensors.ts";
import { ggmlByteLength } from "./ggml-types.ts";
import type { GgufFields } from "./fields.ts";
import type { GgufTensor } from "./layout.ts";
import type { LlamaCppArchitecture } from "../../families/llama-cpp.ts";
import type { LayerSizes, ModelConfig } from "../config/model-config.ts";

/**
 * Sizes of each layer, or null where all layers have the same.
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

const FUSED = /^(blk\.(\d+)\.)attn_qkv\.weight$/;

/** The tensors, with every `attn_qkv` as the q, k and v that follow each other in it. One that does not fit stays as it is. */
export function splitQueryKeyValue(
  tensors: ReadonlyMap<string, GgufTensor>,
  config: ModelConfig,
): ReadonlyMap<string, GgufTensor> {
  const split = [...tensors.values()].flatMap((tensor) => {
    const [, block, layer] = FUSED.exec(tensor.name) ?? [];
    return block !== undefined && Number(layer) < config.numHiddenLayers
      ? splitTensor(tensor, block, blockSizes(config, Number(layer)))
      : [tensor];
  });
  return new Map(split.map((tensor) => [tensor.name, tensor]));
}

function splitTensor(tensor: GgufTensor, block: string, { numAttentionHeads: H, numKeyValueHeads: G, headDim: K }: BlockSizes) {
  const [rowCount, rowLength] = tensor.shape;
  if (rowLength === undefined || rowCount !== (H + 2 * G) * K) return [tensor];
  let startByte = tensor.startByte;
  return (["q", "k", "v"] as const).map((part): GgufTensor => {
    const rows = (part === "q" ? H : G) * K;
    const byteLength = ggmlByteLength(tensor.dtype, rows * rowLength);
    const at = startByte;
    startByte += byteLength;
    return { ...tensor, name: `${block}attn_${part}.weight`, shape: [rows, rowLength], startByte: at, byteLength };
  });
}
