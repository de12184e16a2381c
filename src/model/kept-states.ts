/**
 * @file The dense model's hidden states after every layer, kept in memory by scoring so that repair, which needs them
 * for the same documents, does not run the dense model again. They are the same bit for bit (a test holds that), so
 * that a run that finds its scores ready, and has no states, makes the same expert.
 */

import type { Batch } from "./batches.ts";
import { openStates } from "./embedding.ts";
import type { HiddenStates } from "./hidden-states.ts";

/** Hidden states of batches before the first layer and after each. Close them when done. */
export class KeptStates {
  #batches: readonly Batch[] = [];
  #states: HiddenStates[] = [];

  /** Begins with the states before the first layer, which are closed with these. */
  begin(batches: readonly Batch[], embedded: HiddenStates): void {
    this.#batches = batches;
    this.#states = [embedded];
  }

  /** Room for the states after the next layer. */
  async openNext(hiddenSize: number): Promise<HiddenStates> {
    const states = await openStates(this.#batches, hiddenSize, false);
    this.#states.push(states);
    return states;
  }

  /** The states before a layer, or after the last one; null if they were not kept for exactly these batches. */
  before(layer: number, batches: readonly Batch[]): HiddenStates | null {
    return sameBatches(this.#batches, batches) ? (this.#states[layer] ?? null) : null;
  }

  /** Releases the memory. May be called twice. */
  async close(): Promise<void> {
    for (const states of this.#states) await states.close();
    this.#states = [];
  }
}

/** Bytes of the states of a model's layers and of its embedding. @param tokens of all batches, padding included. */
export function keptStatesBytes(tokens: number, hiddenSize: number, layers: number): number {
  return 4 * tokens * hiddenSize * (layers + 1);
}

function sameBatches(left: readonly Batch[], right: readonly Batch[]): boolean {
  return (
    left.length === right.length &&
    left.every(({ tokens, mask }, index) => {
      const other = right[index]!;
      return tokens.length === other.tokens.length && isEqual(tokens, other.tokens) && isEqual(mask, other.mask);
    })
  );
}

function isEqual(left: Int32Array | Float32Array, right: Int32Array | Float32Array): boolean {
  return left.every((value, index) => value === right[index]);
}
