/**
 * @file Mistral 7B and Nemo: a Llama whose layers may all have a sliding window.
 * Source: transformers 5.23, `models/mistral`.
 */

import type { Family } from "./family.ts";
import { DECI_ARCHITECTURE, LLAMA_ARCHITECTURE } from "./llama-cpp.ts";
import { LLAMA_BLOCK_ROLES, LLAMA_CONFIG_RULES, LLAMA_TENSOR_NAMES } from "./llama.ts";
import { llavaWrapper } from "./wrappers.ts";

export const MISTRAL: Family = {
  name: "mistral",
  modelTypes: ["mistral"],
  transformers: { module: "mistral", stem: "Mistral", configClass: "MistralConfig" },
  configRules: {
    ...LLAMA_CONFIG_RULES,
    defaultKeyValueHeads: 8,
    defaultMaxPositionEmbeddings: 131_072,
    sliding: { kind: "all", defaultWindow: 4096 },
    attentionBiasRoles: [],
    nestedSizes: { ...LLAMA_CONFIG_RULES.nestedSizes, intermediate_size: 14_336 },
  },
  normOffset: 0,
  requiredRoles: LLAMA_BLOCK_ROLES,
  optionalRoles: [],
  tensorNames: LLAMA_TENSOR_NAMES,
  wrappers: [
    llavaWrapper({ modelType: "mistral3", textModelType: "mistral", isDefault: true, defaultTieWordEmbeddings: true }),
    llavaWrapper({ modelType: "llava", textModelType: "mistral", isDefault: false, defaultTieWordEmbeddings: false }),
  ],
  // GGUF files of Mistral have the architecture `llama` and are read as that family. llama.cpp's `mistral3` is another
  // model, which scales queries by position.
  ggufArchitectures: [LLAMA_ARCHITECTURE, DECI_ARCHITECTURE],
  stockHeads: { mustDivide: false, rewrite: null },
  deciLM: { qkvBias: false },
  textStart: "bos",
};
