/**
 * @file A unit's relevances to the documents of a corpus → one relevance: root mean square, maximum or quantile.
 * Source: docs/architecture.md, "Relevance".
 */

import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";

/** How relevances over documents become one. `mean` is the root mean square, so that energies are averaged. */
export type Aggregate = { readonly kind: "mean" | "max" } | { readonly kind: "quantile"; readonly quantile: number };

/**
 * Reads `mean`, `max` or `quantile:Q` with 0 ≤ Q ≤ 1.
 * @throws CusprunError `SELECTION_INVALID`.
 */
export function parseAggregate(text: string): Aggregate {
  if (text === "mean" || text === "max") return { kind: text };
  const quantile = /^quantile:(\d+(?:\.\d+)?)$/.exec(text)?.[1];
  if (quantile !== undefined && Number(quantile) <= 1) return { kind: "quantile", quantile: Number(quantile) };
  throw new CusprunError("SELECTION_INVALID", {
    where: "aggregate",
    found: showValue(text),
    expected: "`mean`, `max` or `quantile:Q` with Q from 0 to 1",
    remedy: "Choose one of these, e.g. `quantile:0.9`",
  });
}

/**
 * One relevance per unit.
 * @param relevance [N, U] row-major: of each unit to each document
 * @param reference [N]: the norm that a document's relevances are divided by; null leaves them as they are
 * @param documents indices of the corpus' documents, at least one
 * @returns [U]
 */
export function aggregateRelevance(
  relevance: Float32Array,
  reference: Float32Array | null,
  documents: readonly number[],
  unitCount: number,
  aggregate: Aggregate,
): Float64Array {
  const shareOf = documents.map((document) => {
    const norm = reference === null ? 1 : (reference[document] ?? 0);
    // A document that adds nothing to the residual stream makes no unit relevant.
    return norm > 0 ? 1 / norm : 0;
  });
  const result = new Float64Array(unitCount);
  if (aggregate.kind === "quantile") {
    const values = new Float64Array(documents.length);
    for (let unit = 0; unit < unitCount; unit++) {
      documents.forEach((document, i) => (values[i] = relevance[document * unitCount + unit]! * shareOf[i]!));
      result[unit] = quantileOf(values.toSorted(), aggregate.quantile);
    }
    return result;
  }
  documents.forEach((document, i) => {
    for (let unit = 0; unit < unitCount; unit++) {
      const value = relevance[document * unitCount + unit]! * shareOf[i]!;
      if (aggregate.kind === "max") result[unit] = Math.max(result[unit]!, value);
      else result[unit]! += value * value;
    }
  });
  return aggregate.kind === "max" ? result : result.map((sum) => Math.sqrt(sum / documents.length));
}

/** Quantile of ascending values with linear interpolation between neighbours, as numpy's default. */
function quantileOf(ascending: Float64Array, quantile: number): number {
  const position = quantile * (ascending.length - 1);
  const below = ascending[Math.floor(position)] ?? 0;
  const above = ascending[Math.ceil(position)] ?? 0;
  return below + (above - below) * (position - Math.floor(position));
}
