/**
 * @file Splits the one tensor in which some architectures store q, k and v of a block.
 * Source: llama.cpp, `load_tensors` of `openelm`.
 */

import { type BlockSizes, blockSizes } from "../check-tensors.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { ggmlByteLength } from "./ggml-types.ts";
import type { GgufTensor } from "./layout.ts";
import { FUSED_ROLES, ggufBlockTensorName, parseGgufBlockTensorName } from "./names.ts";

/** The tensors, with q, k and v instead of every fused tensor. One whose shape does not match is left as it is. */
export function splitQueryKeyValue(
  tensors: ReadonlyMap<string, GgufTensor>,
  config: ModelConfig,
): ReadonlyMap<string, GgufTensor> {
  const split = [...tensors.values()].flatMap((tensor) => {
    const block = parseGgufBlockTensorName(tensor.name);
    return block?.role === "qkv" && block.layer < config.numHiddenLayers
      ? splitTensor(tensor, block.layer, blockSizes(config, block.layer))
      : [tensor];
  });
  return new Map(split.map((tensor) => [tensor.name, tensor]));
}

function splitTensor(tensor: GgufTensor, layer: number, sizes: BlockSizes): GgufTensor[] {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = sizes;
  const [rowCount, rowLength] = tensor.shape;
  if (rowLength === undefined || rowCount !== (H + 2 * G) * K) return [tensor];
  let startByte = tensor.startByte;
  return FUSED_ROLES.map((role) => {
    const rows = (role === "q" ? H : G) * K;
    const byteLength = ggmlByteLength(tensor.dtype, rows * rowLength);
    const at = startByte;
    startByte += byteLength;
    return { ...tensor, name: ggufBlockTensorName(layer, role), shape: [rows, rowLength], startByte: at, byteLength };
  });
}
