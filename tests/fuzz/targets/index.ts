/**
 * @file Every target.
 */

import type { Target } from "../target.ts";
import { config, safetensors, shards } from "./checkpoints.ts";
import { corpus, parquet, tasks } from "./corpora.ts";
import { gguf, ggufSplit } from "./gguf.ts";
import { plan } from "./plan.ts";
import { scores } from "./scores.ts";
import { selfTest } from "./self-test.ts";
import { settings } from "./settings.ts";
import { tokenizer } from "./tokenizers.ts";
import { comparison, work } from "./work.ts";

/** The targets of a run, in the order of the data's way through the program. */
export const TARGETS: readonly Target[] = [
  [safetensors, shards, config, gguf, ggufSplit, tokenizer],
  [corpus, parquet, tasks, scores, plan, comparison, work, settings],
].flat();

/** A target by its name; also the one that tests the fuzzer itself. */
export function targetNamed(name: string): Target {
  const target = [...TARGETS, selfTest].find((each) => each.name === name);
  if (target === undefined) throw new Error(`no target '${name}'; there are ${TARGETS.map((each) => each.name).join(", ")}`);
  return target;
}
