/**
 * @file The hidden states that repair keeps side by side: five sets, of the dense and of the pruned
 * model, and what an output matrix of the pruned model multiplies.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { JobOptions } from "../progress.ts";
import type { Batch } from "../model/batches.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { innerSize } from "../model/block-shape.ts";
import { embedBatches, openStates } from "../model/embedding.ts";
import type { HiddenStates } from "../model/hidden-states.ts";

/** Hidden states of the two models around one layer. */
export interface RepairStates {
  /** Before and after the dense layer; they swap from layer to layer. */
  before: HiddenStates;
  after: HiddenStates;
  /** After the dense layer's attention. */
  readonly between: HiddenStates;
  readonly pruned: HiddenStates;
  /** After the pruned layer's attention. */
  readonly prunedBetween: HiddenStates;
  /** What the output matrix of the current sublayer multiplies. */
  readonly inner: HiddenStates;
}

/**
 * Opens all, with the embedding as input of the first layer of both models.
 * @throws CusprunError as `embedBatches`.
 */
export async function openRepairStates(
  checkpoint: Checkpoint,
  expert: Pick<ModelConfig, "layerSizes" | "headDim">,
  batches: readonly Batch[],
  spills: boolean,
  options: JobOptions,
): Promise<RepairStates> {
  const before = await embedBatches(checkpoint, batches, spills, options);
  const opened = [before];
  const open = async (width = checkpoint.config.hiddenSize): Promise<HiddenStates> => {
    const states = await openStates(batches, width, spills);
    opened.push(states);
    return states;
  };
  try {
    const states = {
      before,
      after: await open(),
      between: await open(),
      pruned: await open(),
      prunedBetween: await open(),
      inner: await open(widestInner(expert)),
    };
    for (const number of batches.keys()) await states.pruned.set(number, await before.get(number));
    return states;
  } catch (error) {
    for (const states of opened) await states.close();
    throw error;
  }
}

/** Closes all. */
export async function closeRepairStates(states: RepairStates): Promise<void> {
  for (const each of Object.values(states) as HiddenStates[]) await each.close();
}

/** The most inputs of an output matrix in any layer. */
export function widestInner({ layerSizes, headDim }: Pick<ModelConfig, "layerSizes" | "headDim">): number {
  const widths = layerSizes.flatMap((sizes) => [innerSize({ ...sizes, headDim }, "o"), innerSize({ ...sizes, headDim }, "down")]);
  return widths.reduce((most, width) => Math.max(most, width), 0);
}
