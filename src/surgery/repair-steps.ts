/**
 * @file The steps in which repair fits a layer's matrices, in the order of the layer's arithmetic.
 * Source: docs/architecture.md, "Repair".
 */

import { MATRIX_INPUTS as REPAIR_STEPS } from "../model/block-inputs.ts";
import type { MatrixInput as RepairStep } from "../model/block-inputs.ts";
import type { MatrixRole, NormRole } from "../families/roles.ts";
import type { PrunePlan } from "../selection/plan.ts";

/** The steps of a layer's repair, in order; each fits a sublayer's input (all matrices that read it) or its output. */
export { REPAIR_STEPS };
export type { RepairStep };

/** A step that fits a sublayer's input. */
export type InputStep = "attentionInput" | "ffnInput";

/** The matrices that a step changes: those that multiply the input after which it is named. */
export const FITTED_MATRICES: Readonly<Record<RepairStep, readonly MatrixRole[]>> = {
  attentionInput: ["q", "k", "v"],
  o: ["o"],
  ffnInput: ["gate", "up"],
  down: ["down"],
};

/** The norm between the residual stream and a sublayer's input, for blocks that have one. */
export const INPUT_NORMS: Readonly<Record<InputStep, NormRole>> = { attentionInput: "attentionNorm", ffnInput: "ffnNorm" };

const FFN_CUTS: ReadonlySet<string> = new Set(["ffn", "matrix:gate", "matrix:up", "matrix:down"]);

/**
 * The steps of one layer. Nothing needs repair before the first cut, nor does the input of the first cut layer. The
 * attention's output matrix is fitted only where the attention was cut: elsewhere it cannot correct the error that the
 * fit of the input leaves (docs/LOG.md).
 */
export function stepsOf({ layers }: PrunePlan, layer: number): readonly RepairStep[] {
  const first = layers.findIndex(({ cuts }) => Object.keys(cuts).length > 0);
  if (first < 0 || layer < first) return [];
  const cutsAttention = Object.entries(layers[layer]!.cuts).some(([kind, cut]) => !FFN_CUTS.has(kind) && cut.removed.length > 0);
  return REPAIR_STEPS.filter((step) => {
    switch (step) {
      case "attentionInput":
        return layer > first;
      case "o":
        return cutsAttention;
      case "ffnInput":
        return layer > first || cutsAttention;
      case "down":
        return true;
      default:
        throw step satisfies never;
    }
  });
}
