/**
 * @file Shared by the tests of selection: one tiny model, and selections on made-up scores of it.
 */

import { selectUnits } from "../../src/selection/select.ts";
import type { SelectionOptions } from "../../src/selection/selection-options.ts";
import type { PrunePlan } from "../../src/selection/plan.ts";
import type { UnitKind } from "../../src/model/units.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import { madeUpScores } from "./made-up-scores.ts";
import type { MadeUpScores } from "./made-up-scores.ts";
import { tinyCheckpoint, tinyModel } from "./tiny-models.ts";
import type { TinyModel } from "./tiny-models.ts";

/** All dimensions. */
export const THREE = ["language", "domain", "task"] as const;
/** F 64, L 4. */
export const MODEL: TinyModel = tinyModel("llama", { intermediateSize: 64, numHiddenLayers: 4 });
/** Parameters of one of its FFN units. */
export const FFN_PARAMETERS = 3 * 30;

/** Selects in all dimensions; default: 10%, masked. */
export function select(changes: Partial<SelectionOptions> = {}, made: MadeUpScores = {}): Promise<PrunePlan> {
  return selectUnits(madeUpScores(MODEL.config, made), { dimensions: THREE, budget: "10%", layout: "masked", ...changes });
}

/** Removed units of a kind, per layer. */
export function removedOf(plan: PrunePlan, kind: UnitKind = "ffn"): (readonly number[])[] {
  return plan.layers.map((layer) => layer.cuts[kind]?.removed ?? []);
}

/** Zeros in the masked model; the dense one has none. */
export async function zeroCount(model: TinyModel, plan: PrunePlan): Promise<number> {
  let zeros = 0;
  for (const tensor of cutExpert(tinyCheckpoint(model), plan).tensors)
    for (const value of await tensor.readFloat32()) zeros += value === 0 ? 1 : 0;
  return zeros;
}
