/**
 * @file What cusprun knows of a model before it reads a weight: sizes, positions, norms.
 * One form for a Hugging Face `config.json` and for a GGUF header.
 */

import type { FamilyName } from "../../families/family.ts";

/** How positions are rotated into queries and keys. Angles: position · inverseFrequency(theta, scaling). */
export interface RopeConfig {
  readonly theta: number;
  readonly scaling: RopeScaling | null;
}

/** The kinds of rope scaling that cusprun computes; others are refused when a config is read. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    }
  /** GGUF's `rope_freqs.weight`: inverse frequencies are divided by these K/2 factors. */
  | { readonly type: "factors"; readonly factors: readonly number[] };

/** Which tokens a layer's attention sees. */
export type LayerType = "full_attention" | "sliding_attention";

/** Sizes that one layer may have and another not. H is a multiple of G. */
export interface LayerSizes {
  /** F */
  readonly intermediateSize: number;
  /** H */
  readonly numAttentionHeads: number;
  /** G */
  readonly numKeyValueHeads: number;
}

/** A decoder-only transformer, in the field's standard terms. All sizes are positive integers. */
export interface ModelConfig {
  readonly family: FamilyName;
  readonly hiddenSize: number;
  readonly numHiddenLayers: number;
  /** One entry per layer, length L; all alike but where layers were cut to sizes of their own. */
  readonly layerSizes: readonly LayerSizes[];
  readonly headDim: number;
  readonly vocabSize: number;
  readonly maxPositionEmbeddings: number;
  readonly rmsNormEps: number;
  readonly hiddenActivation: "silu" | "gelu_pytorch_tanh";
  readonly tieWordEmbeddings: boolean;
  /** Factor on q·k before the softmax: 1/√headDim unless the config names another. */
  readonly attentionScale: number;
  /** Factor on the embedding's output: 1, or √hiddenSize (Gemma). */
  readonly embeddingScale: number;
  /** Rotation of the layers of each type. Both entries are the same where a family has one rotation. */
  readonly rope: Readonly<Record<LayerType, RopeConfig>>;
  /** One entry per layer, length L. */
  readonly layerTypes: readonly LayerType[];
  /** Tokens that a `sliding_attention` layer sees, itself included; null where no layer slides. */
  readonly slidingWindow: number | null;
  readonly bosTokenId: number | null;
  /** Empty where the config names none. */
  readonly eosTokenIds: readonly number[];
}

/** The sizes that all layers have; null where layers differ. */
export function uniformLayerSizes({ layerSizes }: Pick<ModelConfig, "layerSizes">): LayerSizes | null {
  const [first] = layerSizes;
  return first !== undefined && layerSizes.every((sizes) => sameLayerSizes(sizes, first)) ? first : null;
}

/** Whether two layers have the same sizes. */
export function sameLayerSizes(a: LayerSizes, b: LayerSizes): boolean {
  return (
    a.intermediateSize === b.intermediateSize &&
    a.numAttentionHeads === b.numAttentionHeads &&
    a.numKeyValueHeads === b.numKeyValueHeads
  );
}
