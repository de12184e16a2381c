/**
 * @file The result of repairing a layer, and the form in which a journal keeps it.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { isFinite32 } from "../checkpoint/finite.ts";
import type { MatrixRole } from "../families/roles.ts";
import type { StepResult } from "../model/layer-journal.ts";
import { modelOverflow } from "../scoring/overflow.ts";
import type { LayerImportances } from "./importance.ts";
import { FITTED_MATRICES, REPAIR_STEPS, type RepairStep } from "./repair-steps.ts";

/** The result of repairing a layer. */
export interface LayerRepair {
  /** By role, in f32, [out, in]. */
  readonly matrices: ReadonlyMap<MatrixRole, Float32Array<ArrayBuffer>>;
  /** By step, [2]: the strength (NaN if nothing was changed), and the share of the error that remains. */
  readonly reports: ReadonlyMap<RepairStep, Float32Array<ArrayBuffer>>;
  /** Importances of the columns of all matrices, including those that no step changed, in the repaired model. */
  readonly importances: LayerImportances;
}

/** All arrays of a result in one record. */
export function toStepResult({ matrices, reports, importances }: LayerRepair): StepResult {
  const named = <K extends string>(kind: string, arrays: ReadonlyMap<K, Float32Array<ArrayBuffer>>) =>
    [...arrays].map(([key, values]) => [`${kind} ${key}`, values] as const);
  return Object.fromEntries([...named("matrix", matrices), ...named("report", reports), ...named("importance", importances)]);
}

/** The inverse of `toStepResult`. */
export function fromStepResult(result: StepResult): LayerRepair {
  const arraysOf = <K extends string>(kind: string, keys: readonly K[]): Map<K, Float32Array<ArrayBuffer>> =>
    new Map(
      keys.flatMap((key) => {
        const values = result[`${kind} ${key}`];
        return values instanceof Float32Array ? [[key, values] as const] : [];
      }),
    );
  const roles = REPAIR_STEPS.flatMap((step) => FITTED_MATRICES[step]);
  return {
    matrices: arraysOf("matrix", roles),
    reports: arraysOf("report", REPAIR_STEPS),
    importances: arraysOf("importance", REPAIR_STEPS),
  };
}

/** Refuses a result that is not finite: it would be kept, and written into the expert. */
export function checkFinite({ path }: Checkpoint, layer: number, { matrices, importances }: LayerRepair): void {
  for (const step of REPAIR_STEPS) {
    const arrays = [importances.get(step), ...FITTED_MATRICES[step].map((role) => matrices.get(role))];
    if (arrays.every((values) => values === undefined || isFinite32(values))) continue;
    throw modelOverflow(`${path}: layer ${layer}`, `a repair (${step}) that is not finite`, null);
  }
}
