/**
 * @file Selection of whole layers, layout `uniform`: those that stay keep their sizes, and there are fewer of them. Layers go in the order of their
 * keys (see ranking.ts), as many as come closest to the budget. The floor, a share of each layer's units, has no say.
 * Source: ShortGPT, arXiv 2403.03853: the layers with the least Block Influence go.
 */

import { CusprunError } from "../errors.ts";
import type { LayerChoice } from "./choice.ts";
import { globalPool, recordChoice } from "./pools.ts";
import type { SelectionContext } from "./selection-context.ts";
import { unitParameters } from "./unit-parameters.ts";

/**
 * Chooses the layers that go.
 * @throws CusprunError `BUDGET_UNREACHABLE` where the nearest is no layer at all, or all of them.
 */
export function selectLayers(context: SelectionContext): LayerChoice[] {
  const { requested, blocks } = context.parameters;
  const layerCount = context.relevance.length;
  // All layers have the same sizes: openSelection has checked it.
  const parameters = unitParameters("layer", context.costs[0]!);
  const count = Math.round(requested / parameters);
  // What tokens left over of a budget may be less than half a layer: it is met.
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
      remedy: isNothing ? "Ask for more, or choose another method or --units that take less than a layer" : "Ask for less",
    });
  }
  const pool = globalPool(context);
  const choices = context.relevance.map((): LayerChoice => new Map());
  recordChoice(pool, [...pool.order.subarray(0, count)], choices);
  return choices;
}
