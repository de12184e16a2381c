/**
 * @file FLAP: a unit matters as far as its output fluctuates, since what is constant a bias can bring back: the variance of its activation over all
 * tokens times the squared norm of its column of down. Between layers it is compared in standard deviations from the layer's mean.
 * The bias itself is left out: of the families here no stock checkpoint has a place for one behind down (Llama's `mlp_bias` apart).
 * Source: FLAP, arXiv 2312.11983, equations 4 (fluctuation) and 6 (standardised between layers).
 */

import type { RelevanceScores } from "../../scoring/relevance.ts";
import { withUnitValues, type Method } from "./method.ts";

export const FLAP: Method = {
  summary: "fluctuation of a unit's output (FLAP), without its bias",
  source: "FLAP, arXiv 2312.11983, equations 4 and 6",
  defaults: { allocation: { ragged: "global", masked: "global" }, repair: false },
  kinds: ["ffn"],
  matrix: false,
  scores: ["ffn-sum"],
  relevances: (scores) =>
    withUnitValues(scores, "flap", async (layer) => {
      const fluctuations = await layerFluctuations(scores, layer);
      const mean = fluctuations.reduce((sum, value) => sum + value, 0) / fluctuations.length;
      const deviation = Math.sqrt(fluctuations.reduce((sum, value) => sum + (value - mean) ** 2, 0) / fluctuations.length);
      // Only the order counts, and it is made of squares of what is returned: the exponential keeps it and is positive.
      return Float32Array.from(fluctuations, (value) => Math.exp((value - mean) / (2 * (deviation || 1))));
    }),
};

/** Var(a_j) · ‖w_j‖² over the tokens of all documents, [F]: relevances are ‖a_j‖·‖w_j‖, and sums Σ a_j · ‖w_j‖. */
async function layerFluctuations(scores: RelevanceScores, layer: number): Promise<Float64Array> {
  const [relevance, sums] = [await scores.read(layer, "ffn"), await scores.read(layer, "ffn-sum")];
  const tokens = scores.documents.reduce((sum, { tokenCount }) => sum + tokenCount, 0);
  const F = relevance.length / scores.documents.length;
  const [energies, totals] = [new Float64Array(F), new Float64Array(F)];
  for (let index = 0; index < relevance.length; index++) {
    const unit = index % F;
    energies[unit] = energies[unit]! + relevance[index]! ** 2;
    totals[unit] = totals[unit]! + sums[index]!;
  }
  return energies.map((energy, unit) => energy / tokens - (totals[unit]! / tokens) ** 2);
}
