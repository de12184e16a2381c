/**
 * @file Our own rule and the paper's, both on the scored relevances: a unit is removed iff it is irrelevant in every
 * dimension.
 * Source: Cus-Prun, arXiv 2506.02561.
 */

import { UNIT_KINDS } from "../../model/units.ts";
import type { Method } from "./method.ts";

export const CUSPRUN: Method = {
  summary: "relevance in every dimension, divided among layers by measured damage; repaired",
  source: "docs/guide.md",
  defaults: { repair: true },
  kinds: UNIT_KINDS,
  matrix: true,
  relevances: (scores) => scores,
};

/** A unit must be irrelevant to every document; nothing is repaired. */
export const CUSPRUN_PAPER: Method = {
  summary: "the paper's rule: irrelevant to every document of every dimension, no repair",
  source: "Cus-Prun, arXiv 2506.02561, sections 2.2 and 2.3",
  defaults: { aggregate: "max", allocation: { ragged: "global", masked: "global" }, repair: false },
  kinds: UNIT_KINDS,
  matrix: true,
  relevances: (scores) => scores,
};
