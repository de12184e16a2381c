/**
 * @file The smallest models that still have everything: two layers, two groups of two heads, a vocabulary of 16.
 */

import { tinyModel, type TinyModel } from "../../support/tiny-models.ts";
import { TINY_FAMILIES, type TinyFamily } from "../../support/tiny-families.ts";

/** D 8, F 8, L 2, H 4, G 2, K 4, V 16. */
export const SMALL_SIZES = {
  hiddenSize: 8,
  intermediateSize: 8,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 4,
  vocabSize: 16,
} as const;

const made = new Map<TinyFamily, TinyModel>();

/** The small model of a family; made once. */
export function smallModel(family: TinyFamily): TinyModel {
  const known = made.get(family);
  if (known !== undefined) return known;
  const model = tinyModel(family, SMALL_SIZES);
  made.set(family, model);
  return model;
}

/** Every family. */
export const FAMILIES = TINY_FAMILIES;
