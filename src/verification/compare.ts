/**
 * @file A runtime's answer against our own forward pass: log probabilities behind each token of a text, and whether what the runtime would
 * write is what we would.
 */

import type { RuntimeAnswer, RuntimeTarget } from "./runtime.ts";

/** How far apart a runtime and we may be. */
export interface Tolerance {
  /** Largest difference of log probabilities as a share of the largest one; null where it says nothing. */
  readonly relativeError: number | null;
  /** Mean Kullback-Leibler divergence of the runtime's next-token distributions from ours, in nats. */
  readonly divergence: number;
  /** By how many nats a token that the runtime writes may be less probable to us than the most probable one. */
  readonly greedyGap: number;
}

/**
 * Float formats: runtimes keep keys and values in F16 or compute in it, whose steps are 5e-4, through all layers. Quantised ones: llama.cpp
 * and ONNX Runtime quantise the activations to 8 bits as well, we do not, and the worst of millions of logits is then noise; but the
 * distributions stay near each other, while a wrong order of rows or a lost bias makes them differ by whole nats. Requantised ones: what 4 bits
 * cost counts as well, tenths of a nat on a small model, so that it is only told that they still are the same model.
 */
export const TOLERANCES: Readonly<Record<RuntimeTarget["weights"], Tolerance>> = {
  float: { relativeError: 1e-2, divergence: 1e-3, greedyGap: 0.05 },
  quantized: { relativeError: null, divergence: 0.05, greedyGap: 0.5 },
  requantized: { relativeError: null, divergence: 1, greedyGap: 3 },
};

/** Log probabilities under this are one and the same: f32 probabilities end near it. */
const LEAST_LOG_PROBABILITY = -80;

/** What a comparison found. */
export interface Comparison {
  /** Largest difference of log probabilities as a share of the largest one. */
  readonly relativeError: number;
  /** Mean Kullback-Leibler divergence of the runtime's next-token distributions from ours, in nats. */
  readonly divergence: number;
  /** Perplexity of the text, by our log probabilities and by the runtime's. */
  readonly perplexity: { readonly ours: number; readonly theirs: number };
  /** Of the tokens that the runtime would write, those that we would. `gap` is how much less probable, in nats, the worst other one is to us. */
  readonly greedy: { readonly agreed: number; readonly of: number; readonly gap: number };
  /** Whether the text is cut into the same tokens; null where it was not asked. */
  readonly sameTokens: boolean | null;
}

/**
 * Compares.
 * @param ours our logits behind each token of the text and of the runtime's continuation, [T + N, V].
 * @param ids of the text, T. @param textIds ours, without what is put before a text; null where the model has no tokenizer.
 */
export function compareAnswers(
  ours: Float32Array,
  answer: RuntimeAnswer,
  ids: readonly number[],
  textIds: readonly number[] | null,
): Comparison {
  const V = answer.vocabSize;
  let difference = 0;
  let largest = 0;
  let divergence = 0;
  const losses = { ours: 0, theirs: 0 };
  for (let row = 0; row < ids.length; row++) {
    const [mine, other] = [ours, answer.logits].map((logits) => logProbabilities(logits.subarray(row * V, (row + 1) * V)));
    for (let id = 0; id < V; id++) {
      difference = Math.max(difference, Math.abs(mine![id]! - other![id]!));
      largest = Math.max(largest, Math.abs(mine![id]!));
      divergence += Math.exp(mine![id]!) * (mine![id]! - other![id]!);
    }
    const next = ids[row + 1];
    if (next === undefined) continue;
    losses.ours -= mine![next]!;
    losses.theirs -= other![next]!;
  }
  const predicted = Math.max(1, ids.length - 1);
  return {
    relativeError: Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference / largest,
    divergence: divergence / ids.length,
    perplexity: { ours: Math.exp(losses.ours / predicted), theirs: Math.exp(losses.theirs / predicted) },
    greedy: compareGreedy(ours, answer, ids.length),
    sameTokens: textIds === null || answer.textIds === null ? null : isSame(textIds, answer.textIds),
  };
}

/** Whether a comparison is within a tolerance. */
export function agrees({ relativeError, divergence, greedy, sameTokens }: Comparison, tolerance: Tolerance): boolean {
  const isNear = relativeError <= (tolerance.relativeError ?? Number.MAX_VALUE) && divergence <= tolerance.divergence;
  return isNear && greedy.gap <= tolerance.greedyGap && sameTokens !== false;
}

/** The runtime's tokens are given to us one by one, so that one that differs does not make all that follow differ. */
function compareGreedy(ours: Float32Array, { continuation, vocabSize: V }: RuntimeAnswer, length: number): Comparison["greedy"] {
  let agreed = 0;
  let gap = 0;
  for (const [index, id] of continuation.entries()) {
    const row = ours.subarray((length - 1 + index) * V, (length + index) * V);
    const best = row.reduce((highest, logit) => Math.max(highest, logit), Number.NEGATIVE_INFINITY);
    if (row[id] === best) agreed++;
    gap = Math.max(gap, best - row[id]!);
  }
  return { agreed, of: continuation.length, gap };
}

function logProbabilities(logits: Float32Array): Float64Array {
  const highest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  const log = highest + Math.log(sum);
  return Float64Array.from(logits, (logit) => Math.max(LEAST_LOG_PROBABILITY, logit - log));
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, index) => id === b[index]);
}
