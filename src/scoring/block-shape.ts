/**
 * @file Sizes of a decoder block: what decides the structure of its graph and the shapes of its weights.
 */

import type { BlockRole } from "../checkpoint/families.ts";
import type { ModelConfig } from "../checkpoint/model-config.ts";

/** Everything the graph's structure depends on. Blocks of equal shape share a session. */
export interface BlockShape {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly hiddenActivation: ModelConfig["hiddenActivation"];
  readonly attentionScale: number;
  /** Weights that the block has, in a fixed order. */
  readonly roles: readonly BlockRole[];
}

/** Shape of each weight input. */
export function weightShape(role: BlockRole, shape: BlockShape): readonly number[] {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = shape;
  switch (role) {
    case "attentionNorm":
    case "ffnNorm":
    case "postAttentionNorm":
    case "postFfnNorm":
    case "oBias":
      return [D];
    case "qNorm":
    case "kNorm":
      return [K];
    case "q":
      return [H * K, D];
    case "k":
    case "v":
      return [G * K, D];
    case "o":
      return [D, H * K];
    case "qBias":
      return [H * K];
    case "kBias":
    case "vBias":
      return [G * K];
    case "gate":
    case "up":
      return [F, D];
    case "down":
      return [D, F];
    default:
      throw role satisfies never;
  }
}
