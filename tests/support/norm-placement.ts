/** @file Tiny models whose norms are after the sublayers only, as those of OLMo 2. */

import type { TinyModel, TinySizes } from "./tiny-models.ts";
import { tinyModel } from "./tiny-models.ts";

/** A Gemma 3 without the norms before its sublayers: the engine applies the norms that a layer has tensors for. */
export function postNormModel(changes: Partial<TinySizes> = {}): TinyModel {
  const model = tinyModel("gemma3", changes);
  const isPreNorm = (name: string): boolean => /\.(input|pre_feedforward)_layernorm\.weight$/.test(name);
  return { ...model, tensors: new Map([...model.tensors].filter(([name]) => !isPreNorm(name))) };
}
