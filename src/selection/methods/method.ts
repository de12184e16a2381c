/**
 * @file The seam between methods of pruning: each decides by which relevances units are chosen, and which settings are
 * the default. Budget, layouts, surgery and evaluation are the same for all, so that methods can be compared.
 */

import type { WeightSource } from "../../model/layer-program.ts";
import type { RelevanceKind, UnitKind } from "../../model/units.ts";
import type { RelevanceScores } from "../../scoring/relevance.ts";
import type { Allocation, Layout } from "../plan.ts";

/** A method's default settings of a selection. */
export interface MethodDefaults {
  /** Units that may be removed. */
  readonly kinds?: readonly UnitKind[];
  /** How relevances to several documents become one. */
  readonly aggregate?: string;
  /** By layout; for an absent layout, cusprun's own default applies. */
  readonly allocation?: Readonly<Partial<Record<Layout, Allocation>>>;
  /** Whether the kept weights are repaired. */
  readonly repair: boolean;
}

/** A method of pruning. */
export interface Method {
  /** One sentence without a full stop, for help texts. */
  readonly summary: string;
  /** Paper and equation. */
  readonly source: string;
  readonly defaults: MethodDefaults;
  /** Kinds of structural unit that the method can rank. */
  readonly kinds: readonly UnitKind[];
  /** Relevances that are scored for it, in addition to those of the units that may be removed. */
  readonly scores?: readonly RelevanceKind[];
  /** Whether it can rank the paper's single rows and columns. */
  readonly matrix: boolean;
  /**
   * The relevances by which units are chosen.
   * @param scores of the expert's documents.
   * @param weights of the dense model.
   * @param seed of random methods.
   */
  readonly relevances: (scores: RelevanceScores, weights: WeightSource, seed: number) => RelevanceScores;
}

/** Relevances of `kind` in one layer of the dense model, the same to every document and dimension, [U]. */
export type UnitValues = (layer: number, kind: UnitKind) => Promise<Float32Array>;

/** Scores whose values do not depend on documents: the same units are irrelevant in every dimension. */
export function withUnitValues(scores: RelevanceScores, name: string, values: UnitValues): RelevanceScores {
  const { model, config, corpora, kinds } = scores;
  const dimensions = [...new Set(scores.documents.flatMap((document) => document.dimensions))];
  return {
    model,
    config,
    corpora,
    kinds,
    fingerprint: `${name} ${scores.fingerprint}`,
    documents: [{ source: name, tokenCount: 1, dimensions }],
    read: (layer, kind) => values(layer, kind as UnitKind),
    readReference: () => Promise.resolve(Float32Array.of(1)),
    readVocabulary: () => scores.readVocabulary(),
    close: () => scores.close(),
  };
}
