/**
 * @file `PrunePlan`: the seam between deciding and cutting. Plain JSON, readable by people, complete: surgery needs the
 * checkpoint and the plan's `PlannedCut` and nothing else.
 */

import type { ModelIdentity } from "../checkpoint/identity.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { MATRIX_KINDS, UNIT_KINDS } from "../model/units.ts";
import type { MatrixKind, RelevanceKind, UnitKind } from "../model/units.ts";

/** Every layout, for checks and help texts. */
export const LAYOUTS = ["masked", "uniform", "ragged"] as const;

/**
 * The shape of the expert. `masked`: the dense model's sizes, with zeros. `uniform`: every layer has the same smaller
 * sizes. `ragged`: every layer has its own sizes.
 */
export type Layout = (typeof LAYOUTS)[number];

/** Every allocation, for checks and help texts. */
export const ALLOCATIONS = ["layer", "global", "damage"] as const;

/**
 * How the cut is shared between layers: the same share from each (`layer`), where the least relevance is lost
 * (`global`), or where trial cuts damaged the model least (`damage`).
 */
export type Allocation = (typeof ALLOCATIONS)[number];

/** What a plan removes: structural units, or the paper's single rows and columns. */
export type Granularity = "structural" | "matrix";

/** Kinds of cut, as a plan names them. */
export type CutKind = UnitKind | `matrix:${MatrixKind}`;

/** Every kind of cut, in the order of a layer's reports. */
export const CUT_KINDS: readonly CutKind[] = [...UNIT_KINDS, ...MATRIX_KINDS.map((kind) => `matrix:${kind}` as const)];

/**
 * Kinds that `uniform` and `ragged` can take out of a layer: runtimes have a size for each of them, and for no other.
 */
export const SIZED_KINDS: readonly CutKind[] = ["ffn", "head", "kv-group"];

/** The units of one kind that one layer loses. */
export interface RemovedUnits {
  /** Ascending indices of the removed units, in the dense model's numbering. */
  readonly removed: readonly number[];
}

/** Everything that one layer loses. A kind that is absent loses nothing. */
export interface RemovedFromLayer {
  readonly layer: number;
  readonly cuts: Readonly<Partial<Record<CutKind, RemovedUnits>>>;
}

/** The tokens that a model loses. */
export interface RemovedTokens {
  /** Rows of the dense embedding. */
  readonly size: number;
  /** Ascending ids of the removed tokens; the kept ones are renumbered in their order. */
  readonly removed: readonly number[];
}

/** All that surgery needs to know: which units of which layers and which tokens are removed, and in which layout. */
export interface PlannedCut {
  readonly layout: Layout;
  readonly granularity: Granularity;
  /** Absent if every token is kept. */
  readonly vocabulary?: RemovedTokens;
  /** One entry per layer, in order. */
  readonly layers: readonly RemovedFromLayer[];
}

/** The units of one kind that one layer loses, and why. */
export interface LayerCut extends RemovedUnits {
  /** Share of the layer's units of this kind that are irrelevant in a dimension at the threshold used. */
  readonly irrelevantShare: Readonly<Partial<Record<Dimension, number>>>;
  /**
   * Largest relevance among the removed units and smallest among the kept ones, per dimension: why these and not
   * others. Relevance is the aggregate over the dimension's documents of the share of the residual stream's norm
   * (`matrix`: of the norm itself). A number is left out if no unit is removed, or none is kept.
   */
  readonly why: Readonly<Partial<Record<Dimension, { readonly removedMax?: number; readonly keptMin?: number }>>>;
}

/** What one layer loses, and why. A kind that is absent loses nothing. */
export interface LayerPlan extends RemovedFromLayer {
  readonly cuts: Readonly<Partial<Record<CutKind, LayerCut>>>;
}

/** The removed tokens, and what their removal costs. */
export interface VocabularyCut extends RemovedTokens {
  /** Per dimension, the share of its tokens that are split, as estimated when the tokens were chosen. */
  readonly splits: Readonly<Partial<Record<Dimension, number>>>;
}

/** Which units of which layers are removed, which tokens, and how they were chosen. */
export interface PrunePlan extends PlannedCut {
  readonly formatVersion: 2;
  /** The requested budget, as the user wrote it, e.g. `25% of blocks`. */
  readonly budget: string;
  /** The rule that chose, and how it shared the cut between layers; absent in plans that do not record them. */
  readonly method?: string;
  readonly allocation?: Allocation;
  /** How a unit's relevances to the documents of a corpus became one: `mean`, `max` or `quantile:0.9`. */
  readonly aggregate: string;
  /** The chosen dimensions with their weights. */
  readonly weights: Readonly<Partial<Record<Dimension, number>>>;
  readonly corpora: Readonly<Partial<Record<Dimension, string>>>;
  /** Fingerprint of the scores that the plan was made from. */
  readonly scores: string;
  readonly parameters: {
    readonly total: number;
    readonly blocks: number;
    /** Parameters that the budget requests to remove. Whole units and snapped widths meet it nearly, not exactly. */
    readonly requested: number;
    /** Parameters that are removed (`masked`: zeroed). */
    readonly removed: number;
  };
  /** Jaccard overlap of the dimensions' irrelevant sets, per pair, e.g. `{"language∩domain": 0.61}`. */
  readonly overlap: Readonly<Record<string, number>>;
  readonly vocabulary?: VocabularyCut;
  readonly layers: readonly LayerPlan[];
  /** The model that the plan was made for; null if it may be applied to any model of its sizes. */
  readonly model: ModelIdentity | null;
}

/**
 * Kinds that a plan can cut. Whole layers are removed only in layout `uniform`: a stock runtime has one size for all
 * layers, and a number of them.
 */
export function cutKindsOf(layout: Layout, granularity: Granularity): readonly CutKind[] {
  if (granularity === "matrix") return CUT_KINDS.filter((kind) => kind.startsWith("matrix:"));
  switch (layout) {
    case "masked":
      return UNIT_KINDS.filter((kind) => kind !== "layer");
    case "uniform":
      return [...SIZED_KINDS, "layer"];
    case "ragged":
      return SIZED_KINDS;
    default:
      throw layout satisfies never;
  }
}

/** The kept layers, ascending, by the dense model's numbers; the expert renumbers them in this order. */
export function keptLayers({ layers }: Pick<PlannedCut, "layers">): number[] {
  return layers.filter(({ cuts }) => (cuts.layer?.removed.length ?? 0) === 0).map(({ layer }) => layer);
}

/** Ids of the kept tokens, ascending: the new id of each is its place in the list. */
export function keptTokens({ size, removed }: RemovedTokens): number[] {
  const gone = new Set(removed);
  return Array.from({ length: size }, (_, id) => id).filter((id) => !gone.has(id));
}

/**
 * The relevance that decides on a matrix' rows or columns. One row of gate, the same row of up and the same column of
 * down each change the FFN's output by exactly the structural unit's share, and a row of v by the value dimension's.
 */
export const MATRIX_RELEVANCE: Readonly<Record<MatrixKind, RelevanceKind>> = {
  gate: "ffn",
  up: "ffn",
  down: "ffn",
  q: "q-row",
  k: "k-row",
  v: "value-dim",
  o: "o-column",
};

/** The relevance that decides on a kind of cut. */
export function relevanceKindOf(kind: CutKind): RelevanceKind {
  const matrix = MATRIX_KINDS.find((candidate) => kind === `matrix:${candidate}`);
  return matrix === undefined ? (kind as UnitKind) : MATRIX_RELEVANCE[matrix];
}
