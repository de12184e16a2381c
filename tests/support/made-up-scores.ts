/**
 * @file Relevance scores made up from a seed, for tests of selection.
 */

import { blockSizes } from "../../src/checkpoint/check-tensors.ts";
import type { ModelConfig } from "../../src/checkpoint/config/model-config.ts";
import { DIMENSIONS } from "../../src/corpora/corpus.ts";
import type { Dimension } from "../../src/corpora/corpus.ts";
import { unitCount } from "../../src/model/units.ts";
import type { RelevanceKind } from "../../src/model/units.ts";
import type { RelevanceScores } from "../../src/scoring/relevance.ts";
import { seededNormal } from "./tiny-models.ts";

/** Every kind of relevance. */
export const ALL_KINDS: readonly RelevanceKind[] = [
  "ffn",
  "head",
  "kv-group",
  "value-dim",
  "rotary-pair",
  "q-row",
  "k-row",
  "o-column",
  "ffn-sum",
  "layer",
];

/** The settings of made-up scores. */
export interface MadeUpScores {
  readonly dimensions?: readonly Dimension[];
  readonly documentsPerDimension?: number;
  readonly kinds?: readonly RelevanceKind[];
  readonly seed?: number;
  /** Relevance of a unit to document n of N; default log-normal with a level per unit and per layer. */
  readonly relevance?: (layer: number, kind: RelevanceKind, document: number, unit: number) => number;
  /** Norm of the residual stream; default 10. */
  readonly reference?: (layer: number, document: number) => number;
}

/** Scores of a model, each document in one dimension: language first, then domain, then task. */
export function madeUpScores(config: ModelConfig, made: MadeUpScores = {}): RelevanceScores {
  const { dimensions = DIMENSIONS, documentsPerDimension = 4, kinds = ALL_KINDS, seed = 7 } = made;
  const documents = dimensions.flatMap((dimension) =>
    Array.from({ length: documentsPerDimension }, (_, n) => ({
      source: `${dimension}:${n}`,
      tokenCount: 100,
      dimensions: [dimension],
    })),
  );
  return {
    model: { family: config.family, tensors: {}, weights: "e".repeat(64) },
    config,
    fingerprint: "f".repeat(64),
    documents,
    corpora: { language: "en", domain: "medical", task: "multiple-choice" },
    kinds,
    read: async (layer, kind) => {
      const units = unitCount(kind, blockSizes(config, layer));
      const normal = seededNormal(seed + 1000 * layer + 10 * ALL_KINDS.indexOf(kind));
      const levels = Array.from({ length: units }, () => normal() + 0.3 * layer);
      return Float32Array.from({ length: documents.length * units }, (_, i) => {
        const [document, unit] = [Math.floor(i / units), i % units];
        return made.relevance?.(layer, kind, document, unit) ?? Math.exp(levels[unit]! + 0.7 * normal());
      });
    },
    readReference: async (layer) => Float32Array.from(documents, (_, document) => made.reference?.(layer, document) ?? 10),
    readVocabulary: async () => null,
    close: async () => {},
  };
}
