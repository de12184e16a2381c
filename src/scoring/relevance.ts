/**
 * @file The result of scoring, which selection reads: for every unit and document, how much the layer's output changes
 * when the unit is removed (its relevance).
 */

import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { ModelIdentity } from "../checkpoint/identity.ts";
import type { Dimension } from "../corpora/corpus.ts";
import type { RelevanceKind } from "../model/units.ts";

/** A scored document. */
export interface ScoredDocument {
  readonly source: string;
  readonly tokenCount: number;
  /** The dimensions whose calibration documents include it. */
  readonly dimensions: readonly Dimension[];
}

/** Relevance of every token to one dimension, [V] each, from each half of its documents. */
export interface TokenRelevance {
  /**
   * Share of the token among the dimension's tokens, counted and predicted; the relevance is the mean of the halves.
   */
  readonly halves: readonly [Float64Array, Float64Array];
  /**
   * Share of the token among the tokens of that half's texts, only counted: the other half's choice is evaluated on it.
   */
  readonly counted: readonly [Float64Array, Float64Array];
}

/** Relevances of tokens, and the tokens that they are merged from. V = rows of the embedding. */
export interface VocabularyRelevance {
  readonly relevances: ReadonlyMap<Dimension, TokenRelevance>;
  /** The two tokens that a token splits into when it is removed; none for a token that no merge makes. */
  readonly derivations: ReadonlyMap<number, readonly [left: number, right: number]>;
  /** Tokens that are kept whatever their relevance, together with the tokens that they are merged from. */
  readonly alwaysKept: ReadonlySet<number>;
}

/**
 * Relevances of all units to all documents, read layer by layer.
 *
 * `relevance` is ‖Δ sublayer output‖₂ over the document's tokens. For `rotary-pair`, `q-row` and `k-row` it is
 * ‖Δ attention probabilities‖₂ (summed over the heads concerned), as in PLND. For `layer` it is ShortGPT's Block
 * Influence, the mean over the document's tokens of 1 − cos(input of the layer, output of the layer), in [0, 2].
 */
export interface RelevanceScores {
  /** The model that was scored. */
  readonly model: ModelIdentity;
  readonly config: ModelConfig;
  /** SHA-256 (hex) over the model's identity, the documents and the scoring options. */
  readonly fingerprint: string;
  readonly documents: readonly ScoredDocument[];
  /** Labels of the corpora, by dimension. */
  readonly corpora: Readonly<Partial<Record<Dimension, string>>>;
  /** The scored kinds. */
  readonly kinds: readonly RelevanceKind[];
  /** Relevance to each document of each unit: [N, U of the layer], row-major. */
  read(layer: number, kind: RelevanceKind): Promise<Float32Array>;
  /**
   * The reference of a kind in a layer, per document, [N]: relevances are compared as shares of it. It is the L2 norm
   * over the document's tokens of the residual stream after the sublayer has written to it; for the attention-map
   * kinds, the L2 norm of the layer's attention maps; for `layer`, whose relevances are a share already, 1.
   */
  readReference(layer: number, kind: RelevanceKind): Promise<Float32Array>;
  /** Relevance of the rows of the embedding; null if tokens were not scored. */
  readVocabulary(): Promise<VocabularyRelevance | null>;
  /** Closes the file. Nothing can be read afterwards. */
  close(): Promise<void>;
}
