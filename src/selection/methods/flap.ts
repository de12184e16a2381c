/**
 * @file FLAP: a unit is ranked by the fluctuation of its output, since a bias can replace a constant output: the
 * variance of its activation over all tokens times the squared norm of its column of down. Between layers, values are
 * compared in standard deviations from the layer's mean. The bias itself is left out: no stock checkpoint of these
 * families has one after down (except Llama's `mlp_bias`).
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
      // Only the order matters, and it is that of the squares of the returned values: the exponential is positive and
      // keeps the order.
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
