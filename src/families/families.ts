/**
 * @file Model families as data. A family is one entry of `FAMILIES`; shared code reads its fields and never asks for its name.
 * Source: the modeling and configuration files of transformers 5.23 (`models/{llama,mistral,qwen2,qwen3,gemma3}`) and, for GGUF,
 * llama.cpp's `gguf-py/gguf/constants.py` and `convert_hf_to_gguf.py`.
 */

import { CusprunError } from "../errors.ts";

/** Tensors of a decoder block, by what they do. Matrices are [out, in]. */
export type BlockRole =
  | "attentionNorm" // [D]
  | "q" // [H·K, D]
  | "k" // [G·K, D]
  | "v" // [G·K, D]
  | "o" // [D, H·K]
  | "qBias" // [H·K]
  | "kBias" // [G·K]
  | "vBias" // [G·K]
  | "oBias" // [D]
  | "qNorm" // [K], over each head after projection, before rotation
  | "kNorm" // [K]
  | "postAttentionNorm" // [D], on the attention's output before it joins the residual stream
  | "ffnNorm" // [D]
  | "gate" // [F, D]
  | "up" // [F, D]
  | "down" // [D, F]
  | "postFfnNorm"; // [D], on the FFN's output before it joins the residual stream

/** Tensors outside the blocks. */
export type ModelRole = "embedding" /* [V, D] */ | "finalNorm" /* [D] */ | "outputHead"; /* [V, D], absent where tied */

/** Names of the supported families. */
export type FamilyName = "llama" | "mistral" | "qwen2" | "qwen3" | "gemma3";

/**
 * How a family's config.json is read: which keys it has and what an absent one means. `null` as a default means that the key is
 * required or derived as the field's comment says.
 */
export interface FamilyConfigRules {
  /** Key of the FFN's activation, and its value where the key is absent. */
  readonly activationKey: "hidden_act" | "hidden_activation";
  readonly defaultActivation: "silu" | "gelu_pytorch_tanh";
  /** `head_dim` where the key is absent; null: hidden_size / num_attention_heads. */
  readonly defaultHeadDim: number | null;
  /** `num_key_value_heads` where the key is absent; null: as many as query heads. */
  readonly defaultKeyValueHeads: number | null;
  readonly defaultTieWordEmbeddings: boolean;
  readonly defaultMaxPositionEmbeddings: number;
  readonly defaultBosTokenId: number | null;
  readonly defaultEosTokenId: number | null;
  /** `query_pre_attn_scalar` where the key is absent: queries are scaled by 1/√ of it. null: the family scales by 1/√headDim. */
  readonly defaultQueryPreAttnScalar: number | null;
  /** Whether the embedding's output is multiplied by √hidden_size. */
  readonly scalesEmbedding: boolean;
  /** Rotary base where the config names none: of layers that see everything, and of layers that slide. */
  readonly defaultRopeTheta: { readonly full: number; readonly sliding: number };
  /** Whether sliding layers rotate with a base of their own (`rope_local_base_freq`, `rope_parameters.sliding_attention`). */
  readonly ropePerLayerType: boolean;
  /**
   * Which layers slide where `layer_types` is absent. `none`: none. `all`: all, if `sliding_window` is a number. `upper`: from
   * `max_window_layers` on, if `use_sliding_window`. `pattern`: all but every `sliding_window_pattern`-th.
   */
  readonly slidingRule: "none" | "all" | "upper" | "pattern";
  /** `sliding_window` where the key is absent; null: the family has no such key. */
  readonly defaultSlidingWindow: number | null;
  /** Block tensors that are there if and only if the config says `"attention_bias": true`. */
  readonly attentionBiasRoles: readonly BlockRole[];
}

/** Everything in which one family differs from another. */
export interface Family {
  readonly name: FamilyName;
  /** `model_type` of the config.json files of this family. */
  readonly modelTypes: readonly string[];
  /** `general.architecture` of GGUF files of this family; of families that share one, the first that has the file's tensors is it. */
  readonly ggufArchitectures: readonly string[];
  /** Norm weights are applied as `normOffset + weight`; GGUF stores the sum. */
  readonly normOffset: 0 | 1;
  /** Block tensors that every layer has. */
  readonly requiredRoles: readonly BlockRole[];
  /** Block tensors that a checkpoint may have or lack. */
  readonly optionalRoles: readonly BlockRole[];
  /** Name of a block tensor behind `model.layers.{i}.`. */
  readonly blockTensorNames: Readonly<Partial<Record<BlockRole, string>>>;
  /**
   * What stands before a text that is judged alone and whose tokenizer puts nothing there: BOS, or EOS where transformers' tokenizer of the family knows no BOS, whatever
   * config.json calls one. Source: lm-evaluation-harness, `prefix_token_id`.
   */
  readonly textStart: "bos" | "eos";
  /** How config.json is read. */
  readonly configRules: FamilyConfigRules;
}

/** transformers' class of each family. */
export const MODEL_CLASSES: Readonly<Record<FamilyName, string>> = {
  llama: "LlamaForCausalLM",
  mistral: "MistralForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
  gemma3: "Gemma3ForCausalLM",
};

/** What stands before a family's `model_type` where layers differ in size. */
export const RAGGED_MODEL_TYPE_PREFIX = "cusprun_ragged_";

/** Names of the tensors outside the blocks, the same in all families. */
export const MODEL_TENSOR_NAMES: Readonly<Record<ModelRole, string>> = {
  embedding: "model.embed_tokens.weight",
  finalNorm: "model.norm.weight",
  outputHead: "lm_head.weight",
};

const LLAMA_BLOCK_ROLES: readonly BlockRole[] = ["attentionNorm", "q", "k", "v", "o", "ffnNorm", "gate", "up", "down"];
const QKV_BIAS_ROLES: readonly BlockRole[] = ["qBias", "kBias", "vBias"];
const QKVO_BIAS_ROLES: readonly BlockRole[] = [...QKV_BIAS_ROLES, "oBias"];

const LLAMA_TENSOR_NAMES = {
  attentionNorm: "input_layernorm.weight",
  q: "self_attn.q_proj.weight",
  k: "self_attn.k_proj.weight",
  v: "self_attn.v_proj.weight",
  o: "self_attn.o_proj.weight",
  qBias: "self_attn.q_proj.bias",
  kBias: "self_attn.k_proj.bias",
  vBias: "self_attn.v_proj.bias",
  oBias: "self_attn.o_proj.bias",
  ffnNorm: "post_attention_layernorm.weight",
  gate: "mlp.gate_proj.weight",
  up: "mlp.up_proj.weight",
  down: "mlp.down_proj.weight",
} as const;

const QK_NORM_TENSOR_NAMES = { qNorm: "self_attn.q_norm.weight", kNorm: "self_attn.k_norm.weight" } as const;

const LLAMA_CONFIG_RULES: FamilyConfigRules = {
  activationKey: "hidden_act",
  defaultActivation: "silu",
  defaultHeadDim: null,
  defaultKeyValueHeads: null,
  defaultTieWordEmbeddings: false,
  defaultMaxPositionEmbeddings: 2048,
  defaultBosTokenId: 1,
  defaultEosTokenId: 2,
  defaultQueryPreAttnScalar: null,
  scalesEmbedding: false,
  defaultRopeTheta: { full: 10_000, sliding: 10_000 },
  ropePerLayerType: false,
  slidingRule: "none",
  defaultSlidingWindow: null,
  attentionBiasRoles: QKVO_BIAS_ROLES,
};

const QWEN_CONFIG_RULES: FamilyConfigRules = {
  ...LLAMA_CONFIG_RULES,
  defaultKeyValueHeads: 32,
  defaultMaxPositionEmbeddings: 32_768,
  defaultBosTokenId: null,
  defaultEosTokenId: null,
  slidingRule: "upper",
  defaultSlidingWindow: 4096,
};

/** Every supported family, by name. */
export const FAMILIES: Readonly<Record<FamilyName, Family>> = {
  llama: {
    name: "llama",
    modelTypes: ["llama"],
    // `deci` is a Llama whose layers may differ in size.
    ggufArchitectures: ["llama", "deci"],
    normOffset: 0,
    requiredRoles: LLAMA_BLOCK_ROLES,
    optionalRoles: QKVO_BIAS_ROLES,
    blockTensorNames: LLAMA_TENSOR_NAMES,
    textStart: "bos",
    configRules: LLAMA_CONFIG_RULES,
  },
  mistral: {
    name: "mistral",
    modelTypes: ["mistral"],
    // GGUF files of Mistral 7B and Nemo say `llama`; `mistral3` is another model (it scales queries by position).
    ggufArchitectures: [],
    normOffset: 0,
    requiredRoles: LLAMA_BLOCK_ROLES,
    optionalRoles: [],
    blockTensorNames: LLAMA_TENSOR_NAMES,
    textStart: "bos",
    configRules: {
      ...LLAMA_CONFIG_RULES,
      defaultKeyValueHeads: 8,
      defaultMaxPositionEmbeddings: 131_072,
      slidingRule: "all",
      defaultSlidingWindow: 4096,
      attentionBiasRoles: [],
    },
  },
  qwen2: {
    name: "qwen2",
    modelTypes: ["qwen2"],
    // With heads that do not fill the hidden size, which `qwen2` refuses, it is written as a Llama with biases.
    ggufArchitectures: ["qwen2", "llama", "deci"],
    normOffset: 0,
    requiredRoles: [...LLAMA_BLOCK_ROLES, ...QKV_BIAS_ROLES],
    optionalRoles: [],
    blockTensorNames: LLAMA_TENSOR_NAMES,
    textStart: "eos",
    configRules: { ...QWEN_CONFIG_RULES, attentionBiasRoles: [] },
  },
  qwen3: {
    name: "qwen3",
    modelTypes: ["qwen3"],
    // `openelm` is a tied Qwen3 whose layers may differ in size, with q, k and v in one tensor.
    ggufArchitectures: ["qwen3", "openelm"],
    normOffset: 0,
    requiredRoles: [...LLAMA_BLOCK_ROLES, "qNorm", "kNorm"],
    optionalRoles: QKVO_BIAS_ROLES,
    blockTensorNames: { ...LLAMA_TENSOR_NAMES, ...QK_NORM_TENSOR_NAMES },
    textStart: "eos",
    configRules: { ...QWEN_CONFIG_RULES, defaultHeadDim: 128 },
  },
  gemma3: {
    name: "gemma3",
    // `gemma3` is the multimodal model; it is accepted where its config is that of the text model alone.
    modelTypes: ["gemma3_text", "gemma3"],
    ggufArchitectures: ["gemma3"],
    normOffset: 1,
    requiredRoles: [...LLAMA_BLOCK_ROLES, "qNorm", "kNorm", "postAttentionNorm", "postFfnNorm"],
    optionalRoles: QKVO_BIAS_ROLES,
    blockTensorNames: {
      ...LLAMA_TENSOR_NAMES,
      ...QK_NORM_TENSOR_NAMES,
      postAttentionNorm: "post_attention_layernorm.weight",
      ffnNorm: "pre_feedforward_layernorm.weight",
      postFfnNorm: "post_feedforward_layernorm.weight",
    },
    textStart: "bos",
    configRules: {
      ...LLAMA_CONFIG_RULES,
      activationKey: "hidden_activation",
      defaultActivation: "gelu_pytorch_tanh",
      defaultHeadDim: 256,
      defaultKeyValueHeads: 4,
      defaultTieWordEmbeddings: true,
      defaultMaxPositionEmbeddings: 131_072,
      defaultBosTokenId: 2,
      defaultEosTokenId: 1,
      defaultQueryPreAttnScalar: 256,
      scalesEmbedding: true,
      defaultRopeTheta: { full: 1_000_000, sliding: 10_000 },
      ropePerLayerType: true,
      slidingRule: "pattern",
      defaultSlidingWindow: 4096,
    },
  },
};

/**
 * Full name of a block tensor, e.g. `model.layers.3.mlp.down_proj.weight`.
 * @throws RangeError (a defect of the caller) where the family has no such tensor.
 */
export function blockTensorName(family: Family, layer: number, role: BlockRole): string {
  const suffix = family.blockTensorNames[role];
  if (suffix === undefined) throw new RangeError(`family ${family.name} has no tensor for ${role}`);
  return `model.layers.${layer}.${suffix}`;
}

/**
 * Name of a tensor where layers have other numbers.
 * @param numbers new numbers of the layers by the old ones.
 * @returns null for a tensor of a layer that has none; the same name outside the blocks.
 */
export function renumberedTensorName(name: string, numbers: ReadonlyMap<number, number>): string | null {
  const [, layer, suffix] = /^model\.layers\.(\d+)\.(.*)$/.exec(name) ?? [];
  if (layer === undefined) return name;
  const number = numbers.get(Number(layer));
  return number === undefined ? null : `model.layers.${number}.${suffix}`;
}

/**
 * The family of a config.json's `model_type`.
 * @param where the config file, for the message.
 * @throws CusprunError `UNKNOWN_FAMILY`, listing what is supported.
 */
export function familyOfModelType(modelType: string, where: string): Family {
  const isRagged = modelType.startsWith(RAGGED_MODEL_TYPE_PREFIX);
  const stock = isRagged ? modelType.slice(RAGGED_MODEL_TYPE_PREFIX.length) : modelType;
  return findFamilies("model_type", (family) => family.modelTypes, stock, where)[0]!;
}

/**
 * The families that a GGUF file's `general.architecture` may stand for, at least one.
 * @param where the GGUF file, for the message.
 * @throws CusprunError `UNKNOWN_FAMILY`, listing what is supported.
 */
export function familiesOfGgufArchitecture(architecture: string, where: string): readonly Family[] {
  return findFamilies("general.architecture", (family) => family.ggufArchitectures, architecture, where);
}

function findFamilies(key: string, namesOf: (family: Family) => readonly string[], name: string, where: string): Family[] {
  const families = Object.values(FAMILIES);
  const found = families.filter((candidate) => namesOf(candidate).includes(name));
  if (found.length > 0) return found;
  throw new CusprunError("UNKNOWN_FAMILY", {
    where: `${where}: ${key}`,
    found: JSON.stringify(name.slice(0, 80)),
    expected: `one of ${[...new Set(families.flatMap(namesOf))].join(", ")}`,
    remedy: "Choose a model of a supported family",
  });
}

/** Whether the family normalises queries and keys over each head, so that a zeroed row of q or k changes the head's other rows. */
export function normsQueries(familyName: FamilyName): boolean {
  return FAMILIES[familyName].requiredRoles.includes("qNorm");
}
