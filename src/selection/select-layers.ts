/**
 * @file Selection of whole layers, layout `uniform`: the kept layers keep their sizes. Layers are removed in the order
 * of their keys (see ranking.ts), as many as come closest to the budget. The floor, a share of each layer's units, does
 * not apply.
 * Source: ShortGPT, arXiv 2403.03853: the layers with the least Block Influence are removed.
 */

import { CusprunError } from "../errors.ts";
import type { LayerChoice } from "./choice.ts";
import { globalPool, recordChoice } from "./pools.ts";
import type { SelectionContext } from "./selection-context.ts";
import { unitParameters } from "./unit-parameters.ts";

/**
 * Chooses the removed layers.
 * @throws CusprunError `BUDGET_UNREACHABLE` if no layer at all, or all of them, would come closest.
 */
export function selectLayers(context: SelectionContext): LayerChoice[] {
  const { requested, blocks } = context.parameters;
  const layerCount = context.relevance.length;
  // All layers have the same sizes: `checkSelection` refuses others.
  const parameters = unitParameters("layer", context.costs[0]!);
  const count = Math.round(requested / parameters);
  // If removed tokens leave less than half a layer of the budget, it counts as met.
  const isNothing = count === 0 && requested > 0 && context.vocabulary === null;
  if (isNothing || count >= layerCount) {
    const share = (layers: number): string => `${((100 * layers * parameters) / blocks).toFixed(1)}%`;
    throw new CusprunError("BUDGET_UNREACHABLE", {
      where: "budget",
      found: `${requested} parameters to remove, ${isNothing ? "less than half a layer" : `nearest to all ${layerCount} layers`}`,
      expected:
        layerCount === 1
          ? "a model of more than one layer"
          : `1 to ${layerCount - 1} layers of ${parameters} parameters, ${share(1)} to ${share(layerCount - 1)} of the blocks`,
      remedy: isNothing ? "Request more, or choose another method or --units smaller than a layer" : "Request less",
    });
  }
  const pool = globalPool(context);
  const choices = context.relevance.map((): LayerChoice => new Map());
  recordChoice(pool, [...pool.order.subarray(0, count)], choices);
  return choices;
}
