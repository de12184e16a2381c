/**
 * @file Sizes and constants of a decoder block: everything that the structure of its graph depends on.
 */

import { blockSizes, type BlockSizes } from "../checkpoint/check-tensors.ts";
import type { BlockRole, OutputRole } from "../families/roles.ts";
import { blockTensorName, familyNamed } from "../families/index.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";

/** Everything the graph's structure depends on. Blocks of equal shape share a session. */
export interface BlockShape extends BlockSizes {
  readonly rmsNormEps: number;
  readonly hiddenActivation: ModelConfig["hiddenActivation"];
  readonly attentionScale: number;
  /** Number of tokens that a token of a sliding layer attends to, itself included; null for full attention. */
  readonly slidingWindow: number | null;
  /** Tensors that the block has, in a fixed order. A norm that is not among them is not applied. */
  readonly roles: readonly BlockRole[];
}

/** What a block's shape is read from: a checkpoint, or an expert that has not been written yet. */
export interface ModelTensors {
  readonly config: ModelConfig;
  /** By Hugging Face's name. */
  readonly tensors: {
    /** Whether there is a tensor of this name. */
    has(name: string): boolean;
  };
}

/** The shape of one layer. Its roles are those of the family that the model has a tensor for. */
export function blockShapeOf({ config, tensors }: ModelTensors, layer: number): BlockShape {
  const family = familyNamed(config.family);
  return {
    ...blockSizes(config, layer),
    rmsNormEps: config.rmsNormEps,
    hiddenActivation: config.hiddenActivation,
    attentionScale: config.attentionScale,
    slidingWindow: config.layerTypes[layer] === "sliding_attention" ? config.slidingWindow : null,
    roles: [...family.requiredRoles, ...family.optionalRoles].filter((role) => tensors.has(blockTensorName(family, layer, role))),
  };
}

/** The number of inputs of an output matrix: n of [B, T, n]. */
export function innerSize(
  { numAttentionHeads, headDim, intermediateSize }: Pick<BlockShape, "numAttentionHeads" | "headDim" | "intermediateSize">,
  matrix: OutputRole,
): number {
  return matrix === "o" ? numAttentionHeads * headDim : intermediateSize;
}
