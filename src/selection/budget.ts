/**
 * @file How much is removed: the budget as a user writes it → a number of parameters.
 *
 *     25%   25% of all   25% of blocks   0.25      share of all parameters, or of the decoder blocks' parameters
 *     30M   1.2B   30M parameters                  parameters (K thousand, M million, B billion)
 *     80MB   64MiB                                 bytes in the written dtype (decimal or binary multiples)
 */

import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";

/** A parsed budget. `share` is a fraction in [0, 1). */
export type Budget =
  | { readonly kind: "share"; readonly of: "all" | "blocks"; readonly share: number }
  | { readonly kind: "parameters"; readonly parameters: number }
  | { readonly kind: "bytes"; readonly bytes: number };

/** The sizes that a budget refers to. */
export interface BudgetBase {
  /** Parameters of the dense model and of its decoder blocks. */
  readonly total: number;
  readonly blocks: number;
  /** Bytes of a parameter in the written dtype. */
  readonly bytesPerParameter: number;
}

const PARAMETER_UNITS: Readonly<Record<string, number>> = { K: 1e3, M: 1e6, B: 1e9 };
const BYTE_UNITS: Readonly<Record<string, number>> = {
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

const SHARE_PATTERN = /^(\d+(?:\.\d+)?)\s*%(?:\s*of\s+(all|blocks))?$/i;
const AMOUNT_PATTERN = /^(\d+(?:\.\d+)?)\s*([a-z]*?)(\s*(?:params|parameters))?$/i;

/**
 * Reads a budget.
 * @throws CusprunError `BUDGET_INVALID`.
 */
export function parseBudget(written: string | number): Budget {
  const text = String(written).trim();
  const [, percent, of] = SHARE_PATTERN.exec(text) ?? [];
  if (percent !== undefined) {
    if (Number(percent) >= 100) throw invalid(text, "a share under 100%", "Request less than 100%");
    return { kind: "share", of: of?.toLowerCase() === "blocks" ? "blocks" : "all", share: Number(percent) / 100 };
  }
  const [, amount, unit = "", noun] = AMOUNT_PATTERN.exec(text) ?? [];
  if (amount === undefined) throw invalid(text);
  const value = Number(amount);
  if (!Number.isFinite(value)) throw invalid(text);
  if (unit === "" && noun === undefined) {
    if (value < 1) return { kind: "share", of: "all", share: value };
    throw invalid(text, "a unit after the number", `Write ${text}% for a share, or ${text}M for millions of parameters`);
  }
  const bytes = noun === undefined ? BYTE_UNITS[unit.toUpperCase()] : undefined;
  if (bytes !== undefined) return { kind: "bytes", bytes: value * bytes };
  const parameters = unit === "" ? 1 : PARAMETER_UNITS[unit.toUpperCase()];
  if (parameters === undefined) throw invalid(text);
  return { kind: "parameters", parameters: Math.round(value * parameters) };
}

/** Whether a budget requests to remove nothing. */
export function isNothing(budget: Budget): boolean {
  return (budget.kind === "share" ? budget.share : budget.kind === "bytes" ? budget.bytes : budget.parameters) === 0;
}

/**
 * Parameters that a budget requests to remove.
 * @throws CusprunError `BUDGET_UNREACHABLE` if it requests more than the decoder blocks hold.
 */
export function parametersToRemove(budget: Budget, base: BudgetBase): number {
  const requested = Math.round(requestedParameters(budget, base));
  if (requested > base.blocks) {
    const share = `${((100 * base.blocks) / base.total).toFixed(1)}%`;
    throw new CusprunError("BUDGET_UNREACHABLE", {
      where: "budget",
      found: `${requested} parameters to remove`,
      expected: `less than the ${base.blocks} parameters of the decoder blocks (${share} of all)`,
      remedy: "Request less, or a share of the blocks, e.g. `25% of blocks`: embeddings and output head are not pruned",
    });
  }
  return requested;
}

function requestedParameters(budget: Budget, base: BudgetBase): number {
  switch (budget.kind) {
    case "share":
      return budget.share * (budget.of === "all" ? base.total : base.blocks);
    case "parameters":
      return budget.parameters;
    case "bytes":
      return budget.bytes / base.bytesPerParameter;
    default:
      throw budget satisfies never;
  }
}

function invalid(
  text: string,
  expected = "a share (`25%`, `25% of blocks`), parameters (`30M`, `1.2B`) or bytes (`80MB`, `64MiB`)",
  remedy = "Write how much to remove in one of these forms",
): CusprunError {
  return new CusprunError("BUDGET_INVALID", { where: "budget", found: showValue(text), expected, remedy });
}
