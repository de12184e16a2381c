/**
 * @file Qwen3, dense: norms on queries and keys, optional biases.
 * Source: transformers 5.23, `models/qwen3`.
 */

import type { Family } from "./family.ts";
import { OPENELM_ARCHITECTURE, QWEN3_ARCHITECTURE } from "./llama-cpp.ts";
import { LLAMA_BLOCK_ROLES, QK_NORM_TENSOR_NAMES, QKVO_BIAS_ROLES } from "./llama.ts";
import { QWEN_CONFIG_RULES } from "./qwen2.ts";
import { llavaWrapper } from "./wrappers.ts";

export const QWEN3: Family = {
  name: "qwen3",
  modelTypes: ["qwen3"],
  transformers: { module: "qwen3", stem: "Qwen3", configClass: "Qwen3Config" },
  configRules: { ...QWEN_CONFIG_RULES, defaultHeadDim: 128 },
  normOffset: 0,
  requiredRoles: [...LLAMA_BLOCK_ROLES, "qNorm", "kNorm"],
  optionalRoles: QKVO_BIAS_ROLES,
  tensorNames: QK_NORM_TENSOR_NAMES,
  wrappers: [llavaWrapper({ modelType: "internvl", textModelType: "qwen3", isDefault: false, defaultTieWordEmbeddings: true })],
  ggufArchitectures: [QWEN3_ARCHITECTURE, OPENELM_ARCHITECTURE],
  stockHeads: { mustDivide: false, rewrite: null },
  deciLM: null,
  textStart: "eos",
};
