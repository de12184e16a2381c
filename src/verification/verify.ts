/**
 * @file Verifies one part of an expert in one stock runtime: compares the runtime's output with cusprun's own forward
 * pass.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { createTokenizer } from "../corpora/tokenizer.ts";
import { type JobOptions, pause } from "../progress.ts";
import { agrees, compareAnswers, type Comparison, TOLERANCES } from "./compare.ts";
import { ourLogits } from "./our-logits.ts";
import { type Runtime, RuntimeFailure, type RuntimeRequest, type RuntimeTarget } from "./runtime.ts";

/** Plain English with a number, a name and a non-ASCII letter: about 40 tokens with most tokenizers. */
const TEXT =
  "The doctor said that the patient, Mr. Müller, had a fever of 39.5 degrees, and that the treatment should begin at once. " +
  "The next morning the nurse";
/** Maximum number of tokens of the text that are compared. */
const MAX_TEXT_TOKENS = 48;
/** Maximum number of logits returned by a runtime, 32 MB in f32: some runtimes pass each one as an object. */
const MAX_LOGITS = 8e6;
/** Number of tokens of the continuation. */
const NEW_TOKENS = 12;

/** The outcome of a verification. `absent` and `failed` have a reason. */
export type VerificationStatus = "agrees" | "disagrees" | "failed" | "absent";

/** One part of an expert in one runtime. Plain JSON. */
export interface Verification {
  readonly runtime: string;
  /** Name and version of the package; null if it did not answer. */
  readonly version: string | null;
  /** The part that was loaded, e.g. the GGUF file's name. */
  readonly part: string;
  readonly status: VerificationStatus;
  readonly reason: string | null;
  /** Null if there was no answer. */
  readonly comparison: Comparison | null;
  readonly elapsedMs: number;
}

/** Options of `verifyPart`. */
export interface VerifyOptions extends JobOptions {
  readonly trustRemoteCode: boolean;
}

/**
 * Verifies a part. A failure of the runtime is a result, not an exception.
 * @param checkpoint the same part, opened by cusprun, or the expert that it was exported from.
 * @throws CusprunError what reading the checkpoint throws; the signal's reason on abort.
 */
export async function verifyPart(
  checkpoint: Checkpoint,
  runtime: Runtime,
  target: RuntimeTarget,
  { trustRemoteCode, ...job }: VerifyOptions,
): Promise<Verification> {
  const startedAtMs = performance.now();
  const outcome = (found: Pick<Verification, "status"> & Partial<Verification>): Verification => ({
    runtime: runtime.name,
    version: null,
    part: target.label,
    reason: null,
    comparison: null,
    ...found,
    elapsedMs: Math.round(performance.now() - startedAtMs),
  });
  const { ids, textIds } = await textOf(checkpoint);
  const text = textIds === null ? null : TEXT;
  const request: RuntimeRequest = { path: target.path, ids, text, newTokens: NEW_TOKENS, trustRemoteCode };
  job.onProgress?.({ stage: `running ${runtime.name}`, done: 0, total: 1, unit: "answers" });
  await pause(job.signal);
  try {
    const answer = await runtime.ask(target, request, job.signal);
    const { vocabSize: V } = checkpoint.config;
    const { version } = answer;
    if (answer.vocabSize !== V)
      return outcome({ status: "disagrees", version, reason: `${answer.vocabSize} logits per token instead of ${V}` });
    const [ours] = await ourLogits(checkpoint, [[...ids, ...answer.continuation]], job);
    const comparison = compareAnswers(ours!, answer, ids, textIds);
    const tolerance = TOLERANCES[target.weights];
    return outcome({ status: agrees(comparison, tolerance) ? "agrees" : "disagrees", version, comparison });
  } catch (error) {
    if (error instanceof RuntimeFailure) return outcome({ status: "failed", reason: error.message });
    throw error;
  }
}

/** The text's ids, including prefix tokens; made-up ids for a model without a tokenizer. */
async function textOf(checkpoint: Checkpoint): Promise<{
  readonly ids: readonly number[];
  readonly textIds: readonly number[] | null;
}> {
  const { config, path } = checkpoint;
  const length = Math.max(
    1,
    Math.min(MAX_TEXT_TOKENS, config.maxPositionEmbeddings - NEW_TOKENS, Math.floor(MAX_LOGITS / config.vocabSize)),
  );
  const files = await checkpoint.readTokenizerFiles();
  if (files === null) return { ids: Array.from({ length }, (_, index) => (index * 7 + 1) % config.vocabSize), textIds: null };
  const tokenizer = createTokenizer(files, path, config.vocabSize);
  const all = [...tokenizer.encode(TEXT)];
  const textIds = all.slice(tokenizer.prefix.length);
  return { ids: all.slice(0, length), textIds };
}
