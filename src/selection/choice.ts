/**
 * @file The units that a selection removes from a layer, before they become a plan; and the error for a budget that
 * cannot be met.
 */

import { CusprunError } from "../errors.ts";
import type { CutKind } from "./plan.ts";
import type { SelectionContext } from "./selection-context.ts";

/** The units of one kind that one layer loses. */
export interface KindChoice {
  /** Indices of the removed units, in any order. */
  readonly removed: number[];
  /** Per chosen dimension, [U]: 1 if the unit is irrelevant at the threshold used. */
  readonly irrelevant: readonly Uint8Array[];
}

/** The units that one layer loses, by kind. */
export type LayerChoice = Map<CutKind, KindChoice>;

/**
 * The error for a budget that exceeds `most`, the parameters that can be removed at most; `how` says under which
 * conditions.
 */
export function unreachable(context: SelectionContext, most: number, how: string): CusprunError {
  const { requested, total, blocks } = context.parameters;
  const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)}%`;
  return new CusprunError("BUDGET_UNREACHABLE", {
    where: "budget",
    found: `${requested} parameters to remove from ${context.kinds.join(", ")}`,
    expected: `at most ${most} (${share(most, total)} of all, ${share(most, blocks)} of the blocks), ${how}`,
    remedy: "Request less, lower --floor, or allow more kinds of unit to be removed",
  });
}
