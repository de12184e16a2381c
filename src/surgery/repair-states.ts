/**
 * @file The hidden states of the pruned model while it is repaired.
 */

import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Batch } from "../model/batches.ts";
import { innerSize } from "../model/block-shape.ts";
import { openStates } from "../model/embedding.ts";
import type { HiddenStates } from "../model/hidden-states.ts";

/** The pruned model around one layer. */
export interface RepairStates {
  /** Before the layer, and after it once it is repaired. */
  readonly stream: HiddenStates;
  /** After the layer's attention. */
  readonly between: HiddenStates;
  /** What the output matrix of the current sublayer multiplies. */
  readonly inner: HiddenStates;
}

/** Opens all, with a copy of `embedded` as the stream before the first layer. */
export async function openRepairStates(
  config: Pick<ModelConfig, "hiddenSize" | "headDim" | "layerSizes">,
  batches: readonly Batch[],
  embedded: HiddenStates,
  spills: boolean,
): Promise<RepairStates> {
  const opened: HiddenStates[] = [];
  const open = async (width: number): Promise<HiddenStates> => {
    const states = await openStates(batches, width, spills);
    opened.push(states);
    return states;
  };
  try {
    const { hiddenSize } = config;
    const states = { stream: await open(hiddenSize), between: await open(hiddenSize), inner: await open(widestInner(config)) };
    for (const number of batches.keys()) await states.stream.set(number, await embedded.get(number));
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
function widestInner({ layerSizes, headDim }: Pick<ModelConfig, "layerSizes" | "headDim">): number {
  const widths = layerSizes.flatMap((sizes) => [innerSize({ ...sizes, headDim }, "o"), innerSize({ ...sizes, headDim }, "down")]);
  return widths.reduce((most, width) => Math.max(most, width), 0);
}
