/**
 * @file Which numbers of query heads a stock runtime accepts in a smaller model, by the rule of the model's family.
 */

import type { StockRewrite } from "../families/family.ts";
import { familyNamed } from "../families/index.ts";
import type { BlockRole } from "../families/roles.ts";
import { uniformLayerSizes } from "../checkpoint/config/model-config.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";

/**
 * How stock runtimes load a model of this family with another number of query heads.
 * @param optionalRoles the family's optional block tensors that the checkpoint has
 * @returns `as-is`; or the keys of config.json to write instead; or null if no stock runtime loads such a model
 */
export function stockHeads(
  config: ModelConfig,
  headCount: number,
  optionalRoles: readonly BlockRole[],
): "as-is" | StockRewrite | null {
  const { mustDivide, rewrite } = familyNamed(config.family).stockHeads;
  if (headCount === uniformLayerSizes(config)?.numAttentionHeads || !mustDivide || config.hiddenSize % headCount === 0)
    return "as-is";
  if (rewrite === null || rewrite.withoutRoles.some((role) => optionalRoles.includes(role))) return null;
  return rewrite;
}
