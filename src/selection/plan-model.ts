/**
 * @file Whether a plan was made for a model: the same family, the same tensors, the same weights. The units of another
 * model of the same sizes mean something else, and removing them would damage it silently.
 */

import type { ModelIdentity } from "../checkpoint/identity.ts";
import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";
import type { PrunePlan } from "./plan.ts";

/**
 * Checks that a plan was made for a model. A plan that names no model is accepted: whether its sizes fit is checked by
 * `checkPlan`.
 * @param path of the model.
 * @param where the plan, for messages.
 * @throws CusprunError `PLAN_MISMATCH`.
 */
export function checkPlannedModel({ model }: Pick<PrunePlan, "model">, actual: ModelIdentity, path: string, where: string): void {
  if (model === null) return;
  if (model.family !== actual.family)
    throw mismatch(`${where}: model.family`, showValue(model.family), `${showValue(actual.family)}, the family of ${path}`);
  for (const name of new Set([...Object.keys(model.tensors), ...Object.keys(actual.tensors)])) {
    const [planned, found] = [shapeOf(model, name), shapeOf(actual, name)];
    if (planned === found) continue;
    throw mismatch(`${where}: model.tensors: ${name.slice(0, 120)}`, planned, `${found}, as in ${path}`);
  }
  if (model.weights !== actual.weights) throw mismatch(`${where}: model.weights`, "other weights", `those of ${path}`);
}

function shapeOf({ tensors }: ModelIdentity, name: string): string {
  const shape = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
  return shape === undefined ? "no such tensor" : `[${shape.join(", ")}]`;
}

function mismatch(where: string, found: string, expected: string): CusprunError {
  return new CusprunError("PLAN_MISMATCH", {
    where,
    found,
    expected,
    remedy:
      "Use the plan with the model it was made for, or score and select again; only if this is the same model in another " +
      'file format or precision, set "model" to null in the plan',
  });
}
