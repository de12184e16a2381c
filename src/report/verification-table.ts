/**
 * @file Verifications → plain text.
 */

import type { Verification } from "../verification/verify.ts";
import { formatPerplexity } from "./format.ts";
import { renderColumns } from "./table.ts";

/** Renders one row per part and runtime, and below the table the reasons of those without an answer. */
export function renderVerifications(expert: string, verifications: readonly Verification[]): string {
  const header = ["part", "runtime", "", "logits error", "divergence", "greedy text", "tokens", "perplexity ours", "theirs"];
  const rows = verifications.map(({ part, runtime, version, status, comparison }) => {
    const named = [part, version ?? runtime, status];
    if (comparison === null) return named;
    const { relativeError, divergence, greedy, sameTokens, perplexity } = comparison;
    return [
      ...named,
      `${(100 * relativeError).toFixed(3)}%`,
      divergence.toPrecision(2),
      `${greedy.agreed} of ${greedy.of}`,
      sameTokens === null ? "" : sameTokens ? "same" : "differ",
      formatPerplexity(perplexity.ours),
      formatPerplexity(perplexity.theirs),
    ];
  });
  const reasons = verifications.flatMap(({ runtime, part, reason }) =>
    reason === null ? [] : [`${runtime}, ${part}: ${reason}`],
  );
  return [expert, "", ...renderColumns([header, ...rows], 3), ...(reasons.length === 0 ? [] : ["", ...reasons])].join("\n");
}
