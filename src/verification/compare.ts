/**
 * @file Compares a runtime's answer with cusprun's own forward pass: the log probabilities after each token of a text,
 * and the greedy continuation.
 */

import type { RuntimeAnswer, RuntimeTarget } from "./runtime.ts";

/** Tolerances of a comparison. */
export interface Tolerance {
  /** Largest difference of log probabilities, relative to the largest log probability; null if it is not meaningful. */
  readonly relativeError: number | null;
  /** Mean Kullback-Leibler divergence of the runtime's next-token distributions from ours, in nats. */
  readonly divergence: number;
  /**
   * Maximum difference, in nats by our logits, between our most probable token and the token that the runtime
   * generates.
   */
  readonly greedyGap: number;
}

/**
 * Float formats: runtimes compute in F16, or store keys and values in it; its relative precision of 5e-4 accumulates
 * over all layers. Quantised formats: llama.cpp and ONNX Runtime also quantise the activations to 8 bits, cusprun does
 * not, and the worst of millions of logits is then noise. But the distributions remain close, while a wrong order of
 * rows or a missing bias makes them differ by whole nats. Requantised formats: the loss from 4-bit weights is added,
 * tenths of a nat on a small model, so that the test only shows that it is still the same model.
 */
export const TOLERANCES: Readonly<Record<RuntimeTarget["weights"], Tolerance>> = {
  float: { relativeError: 1e-2, divergence: 1e-3, greedyGap: 0.05 },
  quantized: { relativeError: null, divergence: 0.05, greedyGap: 0.5 },
  requantized: { relativeError: null, divergence: 1, greedyGap: 3 },
};

/** Log probabilities below this are treated as equal: f32 probabilities underflow near it. */
const LEAST_LOG_PROBABILITY = -80;

/** The result of a comparison. */
export interface Comparison {
  /** Largest difference of log probabilities, relative to the largest log probability. */
  readonly relativeError: number;
  /** Mean Kullback-Leibler divergence of the runtime's next-token distributions from ours, in nats. */
  readonly divergence: number;
  /** Perplexity of the text by our log probabilities and by the runtime's. */
  readonly perplexity: { readonly ours: number; readonly theirs: number };
  /**
   * How many of the tokens that the runtime generates are our most probable ones. `gap` is the largest difference, in
   * nats by our logits, between our most probable token and the runtime's.
   */
  readonly greedy: { readonly agreed: number; readonly of: number; readonly gap: number };
  /** Whether the runtime tokenises the text into the same tokens; null if it was not asked to. */
  readonly sameTokens: boolean | null;
}

/**
 * Compares a runtime's answer with our logits.
 * @param ours our logits after each token of the text and of the runtime's continuation, [T + N, V].
 * @param ids token ids of the text, [T].
 * @param textIds our token ids of the text, without prefix tokens; null if the model has no tokenizer.
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

/**
 * Our logits are computed on the runtime's own continuation, so one different token does not make all later ones
 * differ.
 */
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
