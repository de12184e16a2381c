/**
 * @file Sizes and constants of a decoder block: everything that the structure of its graph depends on.
 */

import { blockSizes, type BlockSizes } from "../checkpoint/check-tensors.ts";
import type { BlockRole } from "../families/families.ts";
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

/** The shape of one layer of a model. @param roles tensors that the layer has. */
export function blockShapeOf(config: ModelConfig, layer: number, roles: readonly BlockRole[]): BlockShape {
  return {
    ...blockSizes(config, layer),
    rmsNormEps: config.rmsNormEps,
    hiddenActivation: config.hiddenActivation,
    attentionScale: config.attentionScale,
    slidingWindow: config.layerTypes[layer] === "sliding_attention" ? config.slidingWindow : null,
    roles,
  };
}
