/**
 * @file Llama 2 and 3, and the parts that other families share with them.
 * Source: transformers 5.23, `models/llama`.
 */

import type { Family, FamilyConfigRules, FamilyTensorNames } from "./family.ts";
import { DECI_ARCHITECTURE, LLAMA_ARCHITECTURE } from "./llama-cpp.ts";
import type { BlockRole } from "./roles.ts";
import { llavaWrapper } from "./wrappers.ts";

export const LLAMA_BLOCK_ROLES: readonly BlockRole[] = ["attentionNorm", "q", "k", "v", "o", "ffnNorm", "gate", "up", "down"];
export const QKV_BIAS_ROLES: readonly BlockRole[] = ["qBias", "kBias", "vBias"];
export const QKVO_BIAS_ROLES: readonly BlockRole[] = [...QKV_BIAS_ROLES, "oBias"];

export const LLAMA_TENSOR_NAMES: FamilyTensorNames = {
  basePrefix: "model.",
  blockPrefix: "model.layers.{layer}.",
  block: {
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
  },
  model: {
    embedding: "model.embed_tokens.weight",
    finalNorm: "model.norm.weight",
    outputHead: "lm_head.weight",
  },
};

/** Llama's names, with those of the norms of queries and keys. */
export const QK_NORM_TENSOR_NAMES: FamilyTensorNames = {
  ...LLAMA_TENSOR_NAMES,
  block: { ...LLAMA_TENSOR_NAMES.block, qNorm: "self_attn.q_norm.weight", kNorm: "self_attn.k_norm.weight" },
};

export const LLAMA_CONFIG_RULES: FamilyConfigRules = {
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
  sliding: { kind: "none" },
  attentionBiasRoles: QKVO_BIAS_ROLES,
  nestedSizes: {
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
  },
};

export const LLAMA: Family = {
  name: "llama",
  modelTypes: ["llama"],
  transformers: { module: "llama", stem: "Llama", configClass: "LlamaConfig" },
  configRules: LLAMA_CONFIG_RULES,
  normOffset: 0,
  requiredRoles: LLAMA_BLOCK_ROLES,
  optionalRoles: QKVO_BIAS_ROLES,
  tensorNames: LLAMA_TENSOR_NAMES,
  wrappers: [llavaWrapper({ modelType: "llava", textModelType: "llama", isDefault: true, defaultTieWordEmbeddings: false })],
  ggufArchitectures: [LLAMA_ARCHITECTURE, DECI_ARCHITECTURE],
  // LlamaConfig refuses such head counts even with `head_dim`; verified on transformers 5.18 and 5.23.
  stockHeads: {
    mustDivide: true,
    rewrite: {
      family: "mistral",
      keys: { model_type: "mistral", architectures: ["MistralForCausalLM"], sliding_window: null },
      withoutRoles: QKVO_BIAS_ROLES,
    },
  },
  deciLM: { qkvBias: false },
  textStart: "bos",
};
