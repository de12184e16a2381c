/**
 * @file The properties in which the tiny models of the families differ: their config.json, and the tensors that they
 * have.
 */

import type { ModelConfig, RopeConfig } from "../../src/checkpoint/config/model-config.ts";

/** Every family, for `it.each`. */
export const TINY_FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma3"] as const;

/** A family that has a tiny model. */
export type TinyFamily = (typeof TINY_FAMILIES)[number];

/** Sizes that a test may change. `D % H = 0`, so that transformers 5 accepts llama and gemma3. */
export interface TinySizes {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly seed: number;
  /** llama only: `attention_bias`, biases on q, k, v and o. */
  readonly attentionBias: boolean;
  /** qwen3 only: `tie_word_embeddings`. */
  readonly tied: boolean;
}

/** D 30, F 40, L 3, H 6, G 3, K 8, V 48: H·K ≠ D in every family. */
export const TINY_SIZES: TinySizes = {
  hiddenSize: 30,
  intermediateSize: 40,
  numHiddenLayers: 3,
  numAttentionHeads: 6,
  numKeyValueHeads: 3,
  headDim: 8,
  vocabSize: 48,
  seed: 1,
  attentionBias: false,
  tied: false,
};

/** The properties in which families differ. */
export interface FamilyTraits {
  readonly json: Readonly<Record<string, unknown>>;
  readonly config: Partial<ModelConfig>;
  readonly qkvBias: boolean;
  readonly qkNorm: boolean;
  readonly postNorms: boolean;
  /** Norm weights are stored minus this. */
  readonly normOffset: number;
}

/** The default rotation. */
export const FULL_ROPE: RopeConfig = { theta: 10_000, scaling: null };

/** Traits of a family. */
export function traitsOf(family: TinyFamily, sizes: TinySizes): FamilyTraits {
  const all = (type: "full_attention" | "sliding_attention"): ModelConfig["layerTypes"] =>
    Array.from({ length: sizes.numHiddenLayers }, () => type);
  const plain = { qkvBias: false, qkNorm: false, postNorms: false, normOffset: 0 };
  switch (family) {
    case "llama": {
      // Long wavelengths are scaled, short ones not: with 16 positions every branch of llama3's rule is taken.
      const rope: RopeConfig = {
        theta: 10_000,
        scaling: { type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 16 },
      };
      return {
        ...plain,
        qkvBias: sizes.attentionBias,
        json: {
          architectures: ["LlamaForCausalLM"],
          model_type: "llama",
          hidden_act: "silu",
          attention_bias: sizes.attentionBias,
          mlp_bias: false,
          rope_theta: 10_000,
          rope_scaling: {
            rope_type: "llama3",
            factor: 8,
            low_freq_factor: 1,
            high_freq_factor: 4,
            original_max_position_embeddings: 16,
          },
          tie_word_embeddings: false,
        },
        config: { tieWordEmbeddings: false, rope: { full_attention: rope, sliding_attention: rope } },
      };
    }
    case "mistral":
      return {
        ...plain,
        json: {
          architectures: ["MistralForCausalLM"],
          model_type: "mistral",
          hidden_act: "silu",
          rope_theta: 10_000,
          sliding_window: 5,
          tie_word_embeddings: false,
        },
        config: { tieWordEmbeddings: false, slidingWindow: 5, layerTypes: all("sliding_attention") },
      };
    case "qwen2":
      return {
        ...plain,
        qkvBias: true,
        json: {
          architectures: ["Qwen2ForCausalLM"],
          model_type: "qwen2",
          hidden_act: "silu",
          rope_theta: 1_000_000,
          use_sliding_window: false,
          sliding_window: 4096,
          max_window_layers: sizes.numHiddenLayers,
          tie_word_embeddings: true,
        },
        config: { tieWordEmbeddings: true, rope: sameRope(1_000_000) },
      };
    case "qwen3":
      return {
        ...plain,
        qkNorm: true,
        json: {
          architectures: ["Qwen3ForCausalLM"],
          model_type: "qwen3",
          hidden_act: "silu",
          attention_bias: false,
          rope_theta: 1_000_000,
          use_sliding_window: false,
          sliding_window: null,
          max_window_layers: sizes.numHiddenLayers,
          tie_word_embeddings: sizes.tied,
        },
        config: { tieWordEmbeddings: sizes.tied, rope: sameRope(1_000_000) },
      };
    case "gemma3": {
      const layerTypes = Array.from({ length: sizes.numHiddenLayers }, (_, layer) =>
        layer % 2 === 1 ? "full_attention" : "sliding_attention",
      );
      return {
        ...plain,
        qkNorm: true,
        postNorms: true,
        normOffset: 1,
        json: {
          architectures: ["Gemma3ForCausalLM"],
          model_type: "gemma3_text",
          hidden_activation: "gelu_pytorch_tanh",
          attention_bias: false,
          query_pre_attn_scalar: 12,
          rope_theta: 1_000_000,
          rope_local_base_freq: 10_000,
          sliding_window: 4,
          layer_types: layerTypes,
          tie_word_embeddings: true,
        },
        config: {
          tieWordEmbeddings: true,
          hiddenActivation: "gelu_pytorch_tanh",
          attentionScale: 1 / Math.sqrt(12),
          embeddingScale: Math.sqrt(sizes.hiddenSize),
          slidingWindow: 4,
          layerTypes,
          rope: { full_attention: { theta: 1_000_000, scaling: null }, sliding_attention: FULL_ROPE },
        },
      };
    }
    default:
      throw family satisfies never;
  }
}

function sameRope(theta: number): ModelConfig["rope"] {
  return { full_attention: { theta, scaling: null }, sliding_attention: { theta, scaling: null } };
}
