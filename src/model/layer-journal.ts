/**
 * @file What a stage that goes through the model layer by layer saves on its way, so that an interrupted run goes on
 * where it was. The work is a row of steps: the layers, and then passes through the output head if there are any.
 * Design: docs/architecture.md, "Interrupted runs".
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { JobOptions } from "../progress.ts";
import type { Batch } from "./batches.ts";
import { embedBatches, openStates } from "./embedding.ts";
import type { HiddenStates } from "./hidden-states.ts";

/** The arrays that a step results in, by name. */
export type StepResult = Readonly<Record<string, Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>>>;

/** The steps of one piece of work, such as scoring certain documents. */
export interface LayerJournal {
  /**
   * Finds what an earlier run has saved. Called once, before anything else.
   * @param batches the batches of all hidden states: what was saved with others is not used.
   * @returns the number of steps that are done, 0 if nothing is saved.
   */
  resume(batches: readonly Batch[]): Promise<number>;
  /**
   * Fills hidden states with those after the last step that is done. Only if `resume` returned more than 0.
   * @param states as the last of these steps gave them.
   */
  restore(states: readonly HiddenStates[]): Promise<void>;
  /**
   * The result of a step: the saved one, or a new one, which may then be saved with the hidden states.
   * @param number of the step, from 0, in order; those that are done may be left out.
   * @param make computes it. Its arrays must not change afterwards.
   * @param states all hidden states that later steps need; null if the step left them as they were.
   * @throws CusprunError `MODEL_CHANGED`; what `make` throws. A save that fails is no error: nothing is saved then.
   */
  step<R extends StepResult>(number: number, make: () => Promise<R>, states: (() => readonly HiddenStates[]) | null): Promise<R>;
}

/** Options of a job that can go on where an earlier one stopped. */
export interface LayeredJobOptions extends JobOptions {
  /** Default: nothing is saved. */
  readonly journal?: LayerJournal;
}

/** Saves nothing. */
export const NO_JOURNAL: LayerJournal = {
  resume: () => Promise.resolve(0),
  restore: () => Promise.resolve(),
  step: (_number, make) => make(),
};

/**
 * The hidden states with which the work on batches goes on: saved ones, or those before the first block.
 * @returns `done`: the number of steps that are done. The caller closes the states.
 * @throws CusprunError as `embedBatches`.
 */
export async function resumeStates(
  checkpoint: Checkpoint,
  batches: readonly Batch[],
  spills: boolean,
  { journal = NO_JOURNAL, ...options }: LayeredJobOptions,
): Promise<{ readonly states: HiddenStates; readonly done: number }> {
  const done = await journal.resume(batches);
  if (done === 0) return { states: await embedBatches(checkpoint, batches, spills, options), done };
  const states = await openStates(batches, checkpoint.config.hiddenSize, spills);
  try {
    await journal.restore([states]);
    return { states, done };
  } catch (error) {
    await states.close();
    throw error;
  }
}
