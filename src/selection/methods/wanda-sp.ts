/**
 * @file Wanda for whole units: the mean over outputs of |w| · ‖a‖, with ‖a‖ the norm of the unit's activation over all
 * calibration documents. The documents of all dimensions are pooled: the method has one corpus.
 * Source: FLAP, arXiv 2312.11983, section 4.1, "Wanda-sp"; Wanda, arXiv 2306.11695, equation 1.
 */

import { blockTensorName, familyNamed } from "../../families/index.ts";
import { withUnitValues, type Method } from "./method.ts";

export const WANDA_SP: Method = {
  summary: "weights times activations, the documents of all dimensions pooled (Wanda-sp)",
  source: "FLAP, arXiv 2312.11983, baseline Wanda-sp; Wanda, arXiv 2306.11695, equation 1",
  defaults: { allocation: { ragged: "global", masked: "global" }, repair: false },
  kinds: ["ffn"],
  matrix: false,
  relevances: (scores, weights) =>
    withUnitValues(scores, "wanda-sp", async (layer) => {
      const { config } = weights;
      const down = await weights.readFloat32(blockTensorName(familyNamed(config.family), layer, "down"));
      const relevance = await scores.read(layer, "ffn");
      const F = down.length / config.hiddenSize;
      const [sums, squares, energies] = [new Float64Array(F), new Float64Array(F), new Float64Array(F)];
      for (const [index, weight] of down.entries()) {
        const unit = index % F;
        sums[unit] = sums[unit]! + Math.abs(weight);
        squares[unit] = squares[unit]! + weight * weight;
      }
      for (const [index, value] of relevance.entries()) {
        const unit = index % F;
        energies[unit] = energies[unit]! + value * value;
      }
      // Relevance is ‖a‖ · ‖w‖₂: Wanda-sp has the mean of |w| instead of the norm.
      return Float32Array.from(energies, (energy, unit) =>
        squares[unit] === 0 ? 0 : (Math.sqrt(energy / squares[unit]!) * sums[unit]!) / config.hiddenSize,
      );
    }),
};
