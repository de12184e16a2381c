/**
 * @file A model family as data: everything in which one family differs from another. Each file of this folder has one
 * entry; shared code reads its fields and never checks its name. See docs/adding-a-family.md.
 */

import type { LlamaCppArchitecture } from "./llama-cpp.ts";
import type { BlockRole, ModelRole } from "./roles.ts";

/** Name of a family, as in plans, scores and messages: the `name` of one of `FAMILIES`. */
export type FamilyName = string;

/** Which layers attend only within a window, if config.json has no `layer_types`. */
export type SlidingRule =
  | { readonly kind: "none" }
  /** All, if `sliding_window` is a number. */
  | { readonly kind: "all"; readonly defaultWindow: number }
  /** From `max_window_layers` on, if `use_sliding_window`. */
  | { readonly kind: "upper"; readonly defaultWindow: number; readonly defaultFirstLayer: number }
  /** All but every `sliding_window_pattern`-th. */
  | { readonly kind: "pattern"; readonly defaultWindow: number; readonly defaultPeriod: number };

/**
 * How a family's config.json is read: which keys it has, and what an absent key means to transformers. `null` as a
 * default means that the key is required, or that its value is derived as the field's comment says.
 */
export interface FamilyConfigRules {
  /** Key of the FFN's activation, and its value if the key is absent. */
  readonly activationKey: "hidden_act" | "hidden_activation";
  readonly defaultActivation: "silu" | "gelu_pytorch_tanh";
  /** `head_dim` if the key is absent; null: hidden_size / num_attention_heads. */
  readonly defaultHeadDim: number | null;
  /** `num_key_value_heads` if the key is absent; null: as many as query heads. */
  readonly defaultKeyValueHeads: number | null;
  readonly defaultTieWordEmbeddings: boolean;
  readonly defaultMaxPositionEmbeddings: number;
  readonly defaultBosTokenId: number | null;
  readonly defaultEosTokenId: number | null;
  /**
   * `query_pre_attn_scalar` if the key is absent: queries are scaled by 1/√ of it. null: the family scales by
   * 1/√headDim.
   */
  readonly defaultQueryPreAttnScalar: number | null;
  /** Whether the embedding's output is multiplied by √hidden_size. */
  readonly scalesEmbedding: boolean;
  /** Rotary base if the config has none: of layers with full attention, and of layers with a sliding window. */
  readonly defaultRopeTheta: { readonly full: number; readonly sliding: number };
  /**
   * Whether sliding layers have their own rotary base (`rope_local_base_freq`, `rope_parameters.sliding_attention`).
   */
  readonly ropePerLayerType: boolean;
  readonly sliding: SlidingRule;
  /** Block tensors that are present if and only if the config says `"attention_bias": true`. */
  readonly attentionBiasRoles: readonly BlockRole[];
  /**
   * Sizes of absent keys in a `text_config`: transformers 4 saved there only what differs from the class's defaults. In
   * a config.json of its own, a family's sizes are required.
   */
  readonly nestedSizes: Readonly<Record<NestedSizeKey, number>>;
}

/** Keys that a `text_config` may leave out although the same keys of a config.json are required. */
export type NestedSizeKey = "vocab_size" | "hidden_size" | "intermediate_size" | "num_hidden_layers" | "num_attention_heads";

/** A family's tensor names in safetensors files. */
export interface FamilyTensorNames {
  /**
   * transformers' `base_model_prefix` with a full stop: the start of all names except the output head's. A model that
   * was saved without its head has names without it.
   */
  readonly basePrefix: string;
  /** Prefix of a block tensor's own name; `{layer}` is the number of its layer. */
  readonly blockPrefix: string;
  /** Name of a block tensor after the prefix, for each role that the family has. */
  readonly block: Readonly<Partial<Record<BlockRole, string>>>;
  readonly model: Readonly<Record<ModelRole, string>>;
}

/** Which numbers of query heads the stock classes accept in a model with fewer of them. */
export interface StockHeadRule {
  /** Whether num_attention_heads must divide hidden_size even if the config has `head_dim`. */
  readonly mustDivide: boolean;
  /** The config to write instead if it does not divide it; null: nothing loads such a model. */
  readonly rewrite: StockRewrite | null;
}

/** Another family's config.json under which the same weights give bit-identical logits. */
export interface StockRewrite {
  readonly family: FamilyName;
  /** Keys of config.json to set. */
  readonly keys: Readonly<Record<string, unknown>>;
  /** Tensors that the other family does not have. */
  readonly withoutRoles: readonly BlockRole[];
}

/** Names of a family's module and classes in transformers. */
export interface TransformersNames {
  /** Module below `transformers.models`. */
  readonly module: string;
  /** Prefix of its class names: `{stem}ForCausalLM`, `{stem}Attention`, `{stem}MLP`. */
  readonly stem: string;
  /** The class of its config.json. */
  readonly configClass: string;
}

/**
 * A model of several parts, for example for images, one of which is a text model of this family. Its config.json has
 * the text model's under `text_config`. Only the text model is read.
 */
export interface FamilyWrapper {
  /** `model_type` of its config.json. */
  readonly modelType: string;
  /** `model_type` of the text model's config. */
  readonly textModelType: string;
  /** Whether `text_config` is of this family if it has no `model_type`. */
  readonly isDefault: boolean;
  /** Starts of the text model's tensor names, and of the family's own instead; the first that fits counts. */
  readonly textPrefixes: readonly (readonly [stored: string, own: string])[];
  /** Starts of the names of all other tensors, which are left out. */
  readonly otherPrefixes: readonly string[];
  /** `tie_word_embeddings` of the outer config if neither config has the key and no output head is stored. */
  readonly defaultTieWordEmbeddings: boolean;
}

/** Everything in which one family differs from another. */
export interface Family {
  readonly name: FamilyName;
  /** `model_type` of this family's config.json files; the first is the one that is written. */
  readonly modelTypes: readonly string[];
  readonly transformers: TransformersNames;
  /** How config.json is read. */
  readonly configRules: FamilyConfigRules;
  /** Norm weights are applied as `normOffset + weight`; GGUF stores the sum. */
  readonly normOffset: 0 | 1;
  /**
   * Block tensors that every layer has. The norms among them determine their placement: `attentionNorm` and `ffnNorm`
   * are before the sublayers, `postAttentionNorm` and `postFfnNorm` after them.
   */
  readonly requiredRoles: readonly BlockRole[];
  /** Block tensors that a checkpoint has in all layers or in none. */
  readonly optionalRoles: readonly BlockRole[];
  readonly tensorNames: FamilyTensorNames;
  /** Models of several parts that contain a text model of this family; absent if none is read. */
  readonly wrappers?: readonly FamilyWrapper[];
  /**
   * Architectures of llama.cpp that compute this family. A model is written as the first that can hold it. A file is
   * read as the first family of the table that has its architecture and exactly its tensors.
   */
  readonly ggufArchitectures: readonly LlamaCppArchitecture[];
  readonly stockHeads: StockHeadRule;
  /**
   * How vLLM's `DeciLMForCausalLM`, a Llama with different sizes in every layer, computes this family; null if it does
   * not.
   */
  readonly deciLM: { readonly qkvBias: boolean } | null;
  /**
   * The token before a text that is evaluated by itself, if its tokenizer adds none: BOS, or EOS if the family's
   * tokenizer in transformers has no BOS, even if config.json names one. Source: lm-evaluation-harness,
   * `prefix_token_id`.
   */
  readonly textStart: "bos" | "eos";
}
