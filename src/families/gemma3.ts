/**
 * @file Gemma 3, text: norms before and after each sublayer, applied as 1 + weight; sliding layers with their own
 * rotary base.
 * Source: transformers 5.23, `models/gemma3`.
 */

import type { Family } from "./family.ts";
import { GEMMA3_ARCHITECTURE } from "./llama-cpp.ts";
import { LLAMA_BLOCK_ROLES, LLAMA_CONFIG_RULES, QK_NORM_TENSOR_NAMES, QKVO_BIAS_ROLES } from "./llama.ts";
import { llavaWrapper } from "./wrappers.ts";

export const GEMMA3: Family = {
  name: "gemma3",
  modelTypes: ["gemma3_text"],
  transformers: { module: "gemma3", stem: "Gemma3", configClass: "Gemma3TextConfig" },
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
    // Five sliding layers, then one with full attention.
    sliding: { kind: "pattern", defaultWindow: 4096, defaultPeriod: 6 },
    nestedSizes: {
      vocab_size: 262_208,
      hidden_size: 2304,
      intermediate_size: 9216,
      num_hidden_layers: 26,
      num_attention_heads: 8,
    },
  },
  normOffset: 1,
  requiredRoles: [...LLAMA_BLOCK_ROLES, "qNorm", "kNorm", "postAttentionNorm", "postFfnNorm"],
  optionalRoles: QKVO_BIAS_ROLES,
  tensorNames: {
    ...QK_NORM_TENSOR_NAMES,
    block: {
      ...QK_NORM_TENSOR_NAMES.block,
      postAttentionNorm: "post_attention_layernorm.weight",
      ffnNorm: "pre_feedforward_layernorm.weight",
      postFfnNorm: "post_feedforward_layernorm.weight",
    },
  },
  wrappers: [
    llavaWrapper({ modelType: "gemma3", textModelType: "gemma3_text", isDefault: true, defaultTieWordEmbeddings: true }),
  ],
  ggufArchitectures: [GEMMA3_ARCHITECTURE],
  // Gemma3TextConfig refuses such head counts even with `head_dim`; verified on transformers 5.18 and 5.23.
  stockHeads: { mustDivide: true, rewrite: null },
  deciLM: null,
  textStart: "bos",
};
