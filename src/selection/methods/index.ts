/**
 * @file Every method by its name.
 */

import { CUSPRUN, CUSPRUN_PAPER } from "./cusprun.ts";
import { FLAP } from "./flap.ts";
import { MAGNITUDE } from "./magnitude.ts";
import type { Method } from "./method.ts";
import { RANDOM } from "./random.ts";
import { SHORTGPT } from "./shortgpt.ts";
import { WANDA_SP } from "./wanda-sp.ts";

/** Names of all methods, the default first. */
export const METHOD_NAMES = ["cusprun", "cusprun-paper", "wanda-sp", "flap", "shortgpt", "magnitude", "random"] as const;

/** Name of a method. */
export type MethodName = (typeof METHOD_NAMES)[number];

/** Every method. */
export const METHODS: Readonly<Record<MethodName, Method>> = {
  cusprun: CUSPRUN,
  "cusprun-paper": CUSPRUN_PAPER,
  "wanda-sp": WANDA_SP,
  flap: FLAP,
  shortgpt: SHORTGPT,
  magnitude: MAGNITUDE,
  random: RANDOM,
};
