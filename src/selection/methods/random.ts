/**
 * @file Units at random: the baseline that every rule must beat.
 */

import { blockSizes } from "../../checkpoint/check-tensors.ts";
import { unitCount, UNIT_KINDS } from "../../model/units.ts";
import { withUnitValues, type Method } from "./method.ts";

export const RANDOM: Method = {
  summary: "random units: the baseline",
  source: "none",
  defaults: { allocation: { ragged: "global", masked: "global" }, repair: false },
  kinds: UNIT_KINDS,
  matrix: false,
  relevances: (scores, { config }, seed) =>
    withUnitValues(scores, `random ${seed}`, (layer, kind) => {
      const next = generator(seed * 7919 + layer * 31 + UNIT_KINDS.indexOf(kind));
      return Promise.resolve(Float32Array.from({ length: unitCount(kind, blockSizes(config, layer)) }, next));
    }),
};

/** Mulberry32 (Tommy Ettinger, public domain): uniform values in (0, 1]. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 1) / 4_294_967_296;
  };
}
