/**
 * @file Which head counts a stock runtime accepts in a smaller model, as data. Verified on transformers 5.18 and 5.23: LlamaConfig and
 * Gemma3TextConfig refuse hidden_size % num_attention_heads ≠ 0 even where `head_dim` is set; Mistral, Qwen2 and Qwen3 do not.
 */

import type { BlockRole, FamilyName } from "../families/families.ts";
import { uniformLayerSizes } from "../checkpoint/config/model-config.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";

/** Another family's config.json under which the same weights give bit-identical logits. */
export interface StockRewrite {
  readonly family: FamilyName;
  /** Keys of config.json to set. */
  readonly keys: Readonly<Record<string, unknown>>;
  /** Tensors that the other family has no place for. */
  readonly withoutRoles: readonly BlockRole[];
}

interface HeadRule {
  /** Whether num_attention_heads must divide hidden_size. */
  readonly mustDivide: boolean;
  /** What to write instead where it does not; null: nothing loads. */
  readonly rewrite: StockRewrite | null;
}

const FREE: HeadRule = { mustDivide: false, rewrite: null };

const HEAD_RULES: Readonly<Record<FamilyName, HeadRule>> = {
  llama: {
    mustDivide: true,
    rewrite: {
      family: "mistral",
      keys: { model_type: "mistral", architectures: ["MistralForCausalLM"], sliding_window: null },
      withoutRoles: ["qBias", "kBias", "vBias", "oBias"],
    },
  },
  mistral: FREE,
  qwen2: FREE,
  qwen3: FREE,
  gemma3: { mustDivide: true, rewrite: null },
};

/**
 * How stock runtimes load a model of this family with another number of query heads.
 * @param optionalRoles the family's optional block tensors that the checkpoint has
 * @returns `as-is`, the config.json to write instead, or null where nothing loads it
 */
export function stockHeads(
  config: ModelConfig,
  headCount: number,
  optionalRoles: readonly BlockRole[],
): "as-is" | StockRewrite | null {
  const { mustDivide, rewrite } = HEAD_RULES[config.family];
  if (headCount === uniformLayerSizes(config)?.numAttentionHeads || !mustDivide || config.hiddenSize % headCount === 0)
    return "as-is";
  if (rewrite === null || rewrite.withoutRoles.some((role) => optionalRoles.includes(role))) return null;
  return rewrite;
}
