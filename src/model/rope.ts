/**
 * @file Rotary position embedding: the angles by which queries and keys are rotated.
 * Source: RoFormer, arXiv 2104.09864; scaling as in transformers' `modeling_rope_utils` (linear, llama3).
 */

import type { RopeConfig } from "../checkpoint/config/model-config.ts";

/** Cosines and sines of the first positions. */
export interface RopeTable {
  /** [T, K/2] */
  readonly cos: Float32Array;
  /** [T, K/2] */
  readonly sin: Float32Array;
}

/** Angle per position of each of the K/2 rotary pairs, rounded to f32 as in runtimes. */
export function inverseFrequencies(rope: RopeConfig, headDim: number): Float32Array {
  const base = Float32Array.from({ length: headDim / 2 }, (_, pair) => 1 / rope.theta ** ((2 * pair) / headDim));
  const { scaling } = rope;
  if (scaling === null) return base;
  switch (scaling.type) {
    case "linear":
      return base.map((frequency) => frequency / scaling.factor);
    case "factors":
      return base.map((frequency, pair) => frequency / scaling.factors[pair]!);
    case "llama3": {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: original } = scaling;
      return base.map((frequency) => {
        const turns = (original * frequency) / (2 * Math.PI);
        // 0: up to lowFreqFactor turns in the original context; 1: from highFreqFactor on, unchanged. Between:
        // interpolated.
        const kept = Math.min(1, Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)));
        return (1 - kept) * (frequency / factor) + kept * frequency;
      });
    }
    default:
      throw scaling satisfies never;
  }
}

/** Table of positions 0 … tokenCount − 1. */
export function ropeTable(rope: RopeConfig, headDim: number, tokenCount: number): RopeTable {
  const frequencies = inverseFrequencies(rope, headDim);
  const pairs = headDim / 2;
  const cos = new Float32Array(tokenCount * pairs);
  const sin = new Float32Array(tokenCount * pairs);
  for (let position = 0; position < tokenCount; position++) {
    for (let pair = 0; pair < pairs; pair++) {
      // Runtimes multiply in f32 before they take the cosine.
      const angle = Math.fround(position * frequencies[pair]!);
      cos[position * pairs + pair] = Math.cos(angle);
      sin[position * pairs + pair] = Math.sin(angle);
    }
  }
  return { cos, sin };
}
