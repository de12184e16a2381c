/**
 * @file Sizes of a decoder block: what decides the structure of its graph.
 */

import type { BlockSizes } from "../checkpoint/check-tensors.ts";
import type { BlockRole } from "../families/roles.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";

/** Everything the graph's structure depends on. Blocks of equal shape share a session. */
export interface BlockShape extends BlockSizes {
  readonly rmsNormEps: number;
  readonly hiddenActivation: ModelConfig["hiddenActivation"];
  readonly attentionScale: number;
  /** Tokens that a token of a sliding layer looks back to, itself among them; null where it looks at all. */
  readonly slidingWindow: number | null;
  /** Weights that the block has, in a fixed order. */
  readonly roles: readonly BlockRole[];
}
