/**
 * @file The config of a model: sizes, positions, norms. Common to a Hugging Face `config.json` and a GGUF header.
 */

import type { FamilyName } from "../../families/family.ts";

/** The rotation of queries and keys. Angles are position · inverseFrequency(theta, scaling). */
export interface RopeConfig {
  readonly theta: number;
  readonly scaling: RopeScaling | null;
}

/** The supported kinds of RoPE scaling; others are rejected when a config is read. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    }
  /** GGUF's `rope_freqs.weight`: the inverse frequencies are divided by these K/2 factors. */
  | { readonly type: "factors"; readonly factors: readonly number[] };

/** The attention mask of a layer. */
export type LayerType = "full_attention" | "sliding_attention";

/** Sizes that may differ between layers. H is a multiple of G. */
export interface LayerSizes {
  /** F */
  readonly intermediateSize: number;
  /** H */
  readonly numAttentionHeads: number;
  /** G */
  readonly numKeyValueHeads: number;
}

/** The config of a decoder-only transformer. All sizes are positive integers. */
export interface ModelConfig {
  readonly family: FamilyName;
  readonly hiddenSize: number;
  readonly numHiddenLayers: number;
  /** One entry per layer, length L; all the same except in ragged models. */
  readonly layerSizes: readonly LayerSizes[];
  readonly headDim: number;
  readonly vocabSize: number;
  readonly maxPositionEmbeddings: number;
  readonly rmsNormEps: number;
  readonly hiddenActivation: "silu" | "gelu_pytorch_tanh";
  readonly tieWordEmbeddings: boolean;
  /** Factor on q·k before the softmax: 1/√headDim unless the config specifies another. */
  readonly attentionScale: number;
  /** Factor on the embedding's output: 1, or √hiddenSize (Gemma). */
  readonly embeddingScale: number;
  /** Rotation of each layer type. Both entries are the same if the family has only one rotation. */
  readonly rope: Readonly<Record<LayerType, RopeConfig>>;
  /** One entry per layer, length L. */
  readonly layerTypes: readonly LayerType[];
  /** Number of tokens that `sliding_attention` layers attend to, including the current one; null if no layer slides. */
  readonly slidingWindow: number | null;
  readonly bosTokenId: number | null;
  /** Empty if the config names none. */
  readonly eosTokenIds: readonly number[];
}

/** The sizes shared by all layers; null if layers differ. */
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
