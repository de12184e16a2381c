/**
 * @file Cuts of the tiny models to layers of unlike size, and greedy decoding by the plain reference.
 */

import type { Removed } from "./plans.ts";

/**
 * Of F 40, H 6, G 3, one entry per layer: one head of each group and FFN units; two KV groups with their heads and FFN units; FFN units.
 * What stays: F 32, H 3, G 3; F 33, H 2, G 1; F 24, H 6, G 3.
 */
export const RAGGED_CUTS: readonly Removed[] = [
  { ffn: [0, 3, 4, 5, 17, 30, 38, 39], head: [0, 3, 4] },
  { ffn: [1, 2, 9, 11, 12, 13, 14], "kv-group": [0, 2] },
  { ffn: Array.from({ length: 16 }, (_, unit) => 2 * unit + 1) },
];

/**
 * Ids that follow a prompt when the largest logit is taken each time.
 * @param logits of every position of the ids given.
 */
export function greedyIds(
  logits: (ids: readonly number[]) => readonly (readonly number[])[],
  prompt: readonly number[],
  count: number,
): number[] {
  const ids = [...prompt];
  while (ids.length < prompt.length + count) {
    const last = logits(ids).at(-1)!;
    ids.push(last.indexOf(Math.max(...last)));
  }
  return ids.slice(prompt.length);
}
