/**
 * @file The seam between methods of pruning: each decides by which relevances units are chosen, and with which settings where the user sets
 * none. Budget, layouts, surgery and evaluation are the same for all, so that methods can be compared.
 */

import type { WeightSource } from "../../model/layer-program.ts";
import type { RelevanceKind, UnitKind } from "../../model/units.ts";
import type { RelevanceScores } from "../../scoring/relevance.ts";
import type { Allocation, Layout } from "../plan.ts";

/** Settings of a selection that a method has a say in. */
export interface MethodDefaults {
  /** Units that may go. */
  readonly kinds?: readonly UnitKind[];
  /** How relevances over documents become one. */
  readonly aggregate?: string;
  /** By layout; a layout that is absent keeps cusprun's own. */
  readonly allocation?: Readonly<Partial<Record<Layout, Allocation>>>;
  /** Whether the method mends the weights that stay. */
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
  /** What is scored for it beside the relevances of the units that may go. */
  readonly scores?: readonly RelevanceKind[];
  /** Whether it can rank the paper's single rows and columns. */
  readonly matrix: boolean;
  /**
   * The relevances that decide.
   * @param scores what was scored on the expert's documents.
   * @param weights of the dense model.
   * @param seed for what is random.
   */
  readonly relevances: (scores: RelevanceScores, weights: WeightSource, seed: number) => RelevanceScores;
}

/** Relevances of `kind` in one layer of the dense model, the same to every document and dimension, [U]. */
export type UnitValues = (layer: number, kind: UnitKind) => Promise<Float32Array>;

/** Scores whose values do not depend on documents: every dimension finds the same units irrelevant. */
export function withUnitValues(scores: RelevanceScores, name: string, values: UnitValues): RelevanceScores {
  const { config, corpora, kinds } = scores;
  const dimensions = [...new Set(scores.documents.flatMap((document) => document.dimensions))];
  return {
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
