/**
 * @file Qwen2 and Qwen2.5: a Llama with biases on q, k and v. Qwen3 shares its config rules.
 * Source: transformers 5.23, `models/qwen2`.
 */

import type { Family, FamilyConfigRules } from "./family.ts";
import { DECI_ARCHITECTURE, LLAMA_ARCHITECTURE, QWEN2_ARCHITECTURE } from "./llama-cpp.ts";
import { LLAMA_BLOCK_ROLES, LLAMA_CONFIG_RULES, LLAMA_TENSOR_NAMES, QKV_BIAS_ROLES } from "./llama.ts";
import { llavaWrapper } from "./wrappers.ts";

export const QWEN_CONFIG_RULES: FamilyConfigRules = {
  ...LLAMA_CONFIG_RULES,
  defaultKeyValueHeads: 32,
  defaultMaxPositionEmbeddings: 32_768,
  defaultBosTokenId: null,
  defaultEosTokenId: null,
  nestedSizes: { ...LLAMA_CONFIG_RULES.nestedSizes, vocab_size: 151_936, intermediate_size: 22_016 },
  sliding: { kind: "upper", defaultWindow: 4096, defaultFirstLayer: 28 },
};

export const QWEN2: Family = {
  name: "qwen2",
  modelTypes: ["qwen2"],
  transformers: { module: "qwen2", stem: "Qwen2", configClass: "Qwen2Config" },
  configRules: { ...QWEN_CONFIG_RULES, attentionBiasRoles: [] },
  normOffset: 0,
  requiredRoles: [...LLAMA_BLOCK_ROLES, ...QKV_BIAS_ROLES],
  optionalRoles: [],
  tensorNames: LLAMA_TENSOR_NAMES,
  wrappers: [
    llavaWrapper({ modelType: "internvl", textModelType: "qwen2", isDefault: true, defaultTieWordEmbeddings: true }),
    llavaWrapper({ modelType: "llava", textModelType: "qwen2", isDefault: false, defaultTieWordEmbeddings: false }),
  ],
  // If the heads do not fill the hidden size, which `qwen2` refuses, a model is written as a Llama with biases.
  ggufArchitectures: [QWEN2_ARCHITECTURE, LLAMA_ARCHITECTURE, DECI_ARCHITECTURE],
  stockHeads: { mustDivide: false, rewrite: null },
  deciLM: { qkvBias: true },
  textStart: "eos",
};
