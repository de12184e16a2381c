/**
 * @file What a way of selecting decides, before it is written down as a plan; and the error where the budget is out of reach.
 */

import { CusprunError } from "../errors.ts";
import type { CutKind } from "./plan.ts";
import type { SelectionContext } from "./selection-context.ts";

/** What one layer loses of one kind. */
export interface KindChoice {
  /** Indices of the units that go, in any order. */
  readonly removed: number[];
  /** Per chosen dimension, [U]: 1 where the unit is irrelevant at the threshold that was used. */
  readonly irrelevant: readonly Uint8Array[];
}

/** What one layer loses. */
export type LayerChoice = Map<CutKind, KindChoice>;

/** The error of a budget over what can be removed. */
export function unreachable(context: SelectionContext, most: number, how: string): CusprunError {
  const { requested, total, blocks } = context.parameters;
  const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)}%`;
  return new CusprunError("BUDGET_UNREACHABLE", {
    where: "budget",
    found: `${requested} parameters to remove from ${context.kinds.join(", ")}`,
    expected: `at most ${most} (${share(most, total)} of all, ${share(most, blocks)} of the blocks), ${how}`,
    remedy: "Ask for less, lower --floor, or let more kinds of unit go",
  });
}
