/**
 * @file The entry of a made-up family, as a contributor would add it: norms after the sublayers only (as in OLMo 2) and
 * its own tensor names.
 */

import type { Family } from "../../src/families/family.ts";
import { LLAMA_CONFIG_RULES } from "../../src/families/llama.ts";

/** The entry. */
export const RIMU: Family = {
  name: "rimu",
  modelTypes: ["rimu"],
  transformers: { module: "rimu", stem: "Rimu", configClass: "RimuConfig" },
  configRules: { ...LLAMA_CONFIG_RULES, attentionBiasRoles: [] },
  normOffset: 0,
  requiredRoles: ["q", "k", "v", "o", "postAttentionNorm", "gate", "up", "down", "postFfnNorm"],
  optionalRoles: [],
  tensorNames: {
    basePrefix: "transformer.",
    blockPrefix: "transformer.h.{layer}.",
    block: {
      q: "attn.wq.weight",
      k: "attn.wk.weight",
      v: "attn.wv.weight",
      o: "attn.wo.weight",
      postAttentionNorm: "attn.ln.weight",
      gate: "mlp.w1.weight",
      up: "mlp.w3.weight",
      down: "mlp.w2.weight",
      postFfnNorm: "mlp.ln.weight",
    },
    model: { embedding: "transformer.wte.weight", finalNorm: "transformer.ln_f.weight", outputHead: "head.weight" },
  },
  ggufArchitectures: [],
  stockHeads: { mustDivide: false, rewrite: null },
  deciLM: null,
  textStart: "bos",
};
