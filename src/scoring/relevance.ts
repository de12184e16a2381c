/**
 * @file What scoring finds and selection reads: of every unit, how much the layer's output changes on a document when the unit
 * is removed (its relevance), per document.
 */

import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Dimension } from "../corpora/corpus.ts";
import type { RelevanceKind } from "../model/units.ts";

/** A scored document. */
export interface ScoredDocument {
  readonly source: string;
  readonly tokenCount: number;
  /** The dimensions whose calibration corpus holds it. */
  readonly dimensions: readonly Dimension[];
}

/** Relevance of every token to one dimension, [V] each, from either half of its documents. */
export interface TokenRelevance {
  /** Share of the token among the dimension's tokens, as counted and as the model expects; the relevance is the halves' mean. */
  readonly halves: readonly [Float64Array, Float64Array];
  /** Share of the token among the tokens of that half's texts, as counted alone: what the other half's choice is judged by. */
  readonly counted: readonly [Float64Array, Float64Array];
}

/** Relevances of tokens, and what they are merged from. V = rows of the embedding. */
export interface VocabularyRelevance {
  readonly relevances: ReadonlyMap<Dimension, TokenRelevance>;
  /** The two tokens that a token splits into when it goes; a token that no merge makes has none. */
  readonly derivations: ReadonlyMap<number, readonly [left: number, right: number]>;
  /** Tokens that stay whatever their relevance, and with them what they are merged from. */
  readonly alwaysKept: ReadonlySet<number>;
}

/**
 * Relevances of all units to all documents, read layer by layer.
 *
 * `relevance` is ‖Δ sublayer output‖₂ over the document's tokens. For `rotary-pair`, `q-row` and `k-row` it is
 * ‖Δ attention probabilities‖₂ (summed over the heads concerned), as in PLND. For `layer` it is ShortGPT's Block Influence, the mean over
 * the document's tokens of 1 − cos(what enters the layer, what leaves it), in [0, 2].
 */
export interface RelevanceScores {
  readonly config: ModelConfig;
  /** SHA-256 (hex) over the model's identity, the documents and the scoring options: what the scores are of. */
  readonly fingerprint: string;
  readonly documents: readonly ScoredDocument[];
  /** Labels of the corpora, by dimension. */
  readonly corpora: Readonly<Partial<Record<Dimension, string>>>;
  /** Kinds that were scored. */
  readonly kinds: readonly RelevanceKind[];
  /** Relevance to each document of each unit: [N, U of the layer], row-major. */
  read(layer: number, kind: RelevanceKind): Promise<Float32Array>;
  /**
   * What a layer's relevances of a kind are a share of, per document, [N]: the L2 norm over the document's tokens of the residual
   * stream after the sublayer has written to it; for the attention-map kinds, the L2 norm of the layer's attention maps; for `layer`, whose
   * relevances are a share already, 1.
   */
  readReference(layer: number, kind: RelevanceKind): Promise<Float32Array>;
  /** Relevance of the rows of the embedding; null where tokens were not scored. */
  readVocabulary(): Promise<VocabularyRelevance | null>;
  /** Closes the file. Nothing can be read afterwards. */
  close(): Promise<void>;
}
