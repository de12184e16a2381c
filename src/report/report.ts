/**
 * @file What a run did, as data: the result of `pruneModel`, of `--json`, and what the closing table is made from.
 */

import type { StoredDType } from "../checkpoint/checkpoint.ts";
import type { Dimension } from "../corpora/corpus.ts";
import type { MemoryPlan } from "../model/memory-plan.ts";
import type { Layout, PrunePlan } from "../selection/plan.ts";
import type { RepairSummary } from "../surgery/repair.ts";

/** Perplexity of one model on one dimension's held-out documents. */
export interface PerplexityFigure {
  /** exp of the mean negative log-likelihood per token. */
  readonly perplexity: number;
  /** Bits per byte of UTF-8 text; comparable between tokenizers and languages. */
  readonly bitsPerByte: number;
  /** Tokens predicted. */
  readonly tokenCount: number;
}

/** What a run did to one dimension. */
export interface DimensionReport {
  readonly dimension: Dimension;
  /** What the user called the corpus. */
  readonly label: string;
  /** Documents that chose what was pruned. */
  readonly calibrationDocuments: number;
  /** Documents that only judged the result. */
  readonly heldOutDocuments: number;
  /** Null where the corpus had no document to hold back, or measuring was switched off. */
  readonly dense: PerplexityFigure | null;
  readonly expert: PerplexityFigure | null;
}

/** How many units of one kind every layer has kept and lost. */
export interface UnitReport {
  /** Unit kind as in the plan, e.g. `ffn` or `matrix:gate`. */
  readonly kind: string;
  /** Units per layer of the dense model, length L. */
  readonly before: readonly number[];
  /** Removed units per layer, length L. */
  readonly removedPerLayer: readonly number[];
}

/** What became of the vocabulary. */
export interface VocabularyReport {
  /** Rows of the embedding. */
  readonly before: number;
  readonly after: number;
  /** Per dimension, the share of its tokens that are split, as estimated when they were chosen. */
  readonly splits: Readonly<Partial<Record<Dimension, number>>>;
}

/** What was written in one format. */
export interface WrittenReport {
  readonly format: "hf" | "gguf" | "onnx";
  /** For a table, e.g. `weights in BF16`. */
  readonly label: string;
  /** Bytes of the expert in this format, and of the dense model; null where it was not in this form. */
  readonly before: number | null;
  readonly after: number;
  /** Names of the files. */
  readonly files: readonly string[];
}

/** What a run may take of memory and what its stages need, in bytes. */
export interface MemoryReport {
  readonly limitBytes: number;
  readonly stages: readonly MemoryPlan[];
}

/** What a run did. Plain JSON. */
export interface PruneReport {
  /** What the user called the model. */
  readonly model: string;
  /** Family of the model, e.g. `llama`. */
  readonly family: string;
  readonly layers: number;
  readonly layout: Layout;
  readonly granularity: PrunePlan["granularity"];
  /** The budget as the user wrote it. */
  readonly budget: string;
  /** Parameters of the dense model and of the expert; `removed` are zeroed where the layout is `masked`. */
  readonly parameters: { readonly before: number; readonly after: number; readonly removed: number };
  /** Weights as the input stores them. */
  readonly input: { readonly bytes: number; readonly dtypes: readonly StoredDType[] };
  /** What was written, one entry per format. */
  readonly written: readonly WrittenReport[];
  readonly units: readonly UnitReport[];
  /** Null where every token stays. */
  readonly vocabulary: VocabularyReport | null;
  readonly dimensions: readonly DimensionReport[];
  /** Jaccard overlap of the dimensions' irrelevant sets, per pair. */
  readonly overlap: Readonly<Record<string, number>>;
  /** Folder of the expert. */
  readonly out: string;
  /** What repair did, or null where the weights are those that the cut left. */
  readonly repair: RepairSummary | null;
  /** File of the relevance scores, and whether an earlier run had made it. */
  readonly scores: { readonly path: string; readonly reused: boolean };
  /** As it was planned before the run. */
  readonly memory: MemoryReport;
  readonly elapsedMs: number;
}
