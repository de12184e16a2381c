/**
 * @file cusprun's own forward pass for a comparison: one pass over all texts.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import { forward } from "../model/forward.ts";
import { computeLogits } from "../model/output-head.ts";

/**
 * Computes the logits after each token of each text, [T, V].
 * @throws CusprunError what reading the checkpoint throws.
 */
export async function ourLogits(
  checkpoint: Checkpoint,
  texts: readonly (readonly number[])[],
  job: JobOptions,
): Promise<readonly Float32Array[]> {
  const documents = texts.map((ids): TokenDocument => ({
    tokens: Int32Array.from(ids),
    byteLength: ids.length,
    source: "verify",
  }));
  const states = await forward(checkpoint, documents, "own forward pass", job);
  const logits: Float32Array[] = [];
  for (const state of states) logits.push(await computeLogits(checkpoint, state, job));
  return logits;
}
