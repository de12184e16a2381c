/**
 * @file Every target.
 */

import type { Target } from "../target.ts";
import { plan } from "./plan.ts";
import { safetensors } from "./safetensors.ts";
import { selfTest } from "./self-test.ts";

/** The targets of a run, in the order of the data's way through the program. */
export const TARGETS: readonly Target[] = [safetensors, plan];

/** A target by its name; also the one that tests the fuzzer itself. */
export function targetNamed(name: string): Target {
  const target = [...TARGETS, selfTest].find((each) => each.name === name);
  if (target === undefined) throw new Error(`no target '${name}'; there are ${TARGETS.map((each) => each.name).join(", ")}`);
  return target;
}
