/**
 * @file Which of its family's optional tensors a model has.
 */

import type { BlockRole } from "../families/roles.ts";
import { blockTensorName, familyNamed } from "../families/index.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { ModelConfig } from "./config/model-config.ts";

/** The family's optional block tensors (biases) that a checkpoint holds: in all layers or in none, as was checked. */
export function presentOptionalRoles({
  config,
  tensors,
}: {
  readonly config: Pick<ModelConfig, "family">;
  readonly tensors: Pick<Checkpoint["tensors"], "has">;
}): readonly BlockRole[] {
  const family = familyNamed(config.family);
  return family.optionalRoles.filter((role) => tensors.has(blockTensorName(family, 0, role)));
}
