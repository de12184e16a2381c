/**
 * @file Shared by the tests of surgery: units that tiny models lose, the tensors and logits of experts, and the models.
 */

import { expect } from "vitest";
import type { Expert } from "../../src/surgery/expert.ts";
import type { Removed } from "./plans.ts";
import { referenceLogits } from "./reference-forward.ts";
import type { ReferenceTensor } from "./reference-forward.ts";
import { TINY_FAMILIES, tinyModel } from "./tiny-models.ts";
import type { TinyModel } from "./tiny-models.ts";

/** A document. */
export const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13];

/** Eight FFN units of every layer. Tiny models have F 40, H 6 in G 3 groups of R 2, K 8, L 3. */
export const FFN: readonly Removed[] = [
  { ffn: [0, 3, 4, 5, 17, 30, 38, 39] },
  { ffn: [1, 2, 9, 11, 12, 13, 14, 35] },
  { ffn: [0, 1, 2, 3, 4, 5, 6, 7] },
];
/** One head of each group: 3 heads are kept. */
export const HEADS: readonly Removed[] = [{ head: [0, 3, 4] }, { head: [1, 2, 5] }, { head: [0, 2, 4] }];
/** One group: 4 heads are kept, which do not divide D = 30. */
export const GROUPS: readonly Removed[] = [{ "kv-group": [0] }, { "kv-group": [2] }, { "kv-group": [1] }];
/** One group, and one head of each of the others: 2 heads are kept. */
export const BOTH: readonly Removed[] = [
  { "kv-group": [1], head: [0, 5], ffn: [3] },
  { "kv-group": [0], head: [2, 4], ffn: [39] },
  { "kv-group": [2], head: [1, 2], ffn: [0] },
];

/** All tensors of an expert, by name. */
export async function tensorsOf(expert: Expert): Promise<Map<string, ReferenceTensor>> {
  const tensors = new Map<string, ReferenceTensor>();
  for (const tensor of expert.tensors) tensors.set(tensor.name, { shape: tensor.shape, values: await tensor.readFloat32() });
  return tensors;
}

/** Logits of an expert on `IDS`, [T, V], by the reference forward pass. */
export async function logitsOf(expert: Expert): Promise<number[]> {
  return referenceLogits(expert.configJson, await tensorsOf(expert), IDS).flatMap((row) => Array.from(row));
}

/** Largest difference as a share of the largest value. */
export function worstError(actual: readonly number[], expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  return Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!))) / scale;
}

/** One tiny model of every family, and a Llama with biases, by name. */
export const models = (): (readonly [string, TinyModel])[] => [
  ...TINY_FAMILIES.map((family) => [family, tinyModel(family)] as const),
  ["llama with biases", tinyModel("llama", { attentionBias: true })],
];
