/**
 * @file The report of a run, as data: returned by `pruneModel`, printed by `--json`, and rendered as the closing table.
 */

import type { StoredDType } from "../checkpoint/checkpoint.ts";
import type { Dimension, SourceReport } from "../corpora/corpus.ts";
import type { MemoryPlan } from "../model/memory-plan.ts";
import type { StageTime } from "../progress.ts";
import type { Layout, PrunePlan } from "../selection/plan.ts";
import type { RepairSummary } from "../surgery/repair.ts";

/** Perplexity of one model on one dimension's held-out documents. */
export interface PerplexityFigure {
  /** Exponential of the mean negative log-likelihood per token. */
  readonly perplexity: number;
  /** Bits per byte of UTF-8 text; comparable between tokenizers and languages. */
  readonly bitsPerByte: number;
  /** Tokens predicted. */
  readonly tokenCount: number;
}

/** Effect of a run on one dimension. */
export interface DimensionReport {
  readonly dimension: Dimension;
  /** The user's name for the corpus. */
  readonly label: string;
  /** What was read of each preset, path or dataset. */
  readonly sources: readonly SourceReport[];
  /** Number of documents used for scoring and repair. */
  readonly calibrationDocuments: number;
  /** Number of documents used only to measure the result. */
  readonly heldOutDocuments: number;
  /** Null if the corpus has no held-out documents or measuring was switched off. */
  readonly dense: PerplexityFigure | null;
  readonly expert: PerplexityFigure | null;
}

/** Number of units of one kind per layer, and how many were removed. */
export interface UnitReport {
  /** Unit kind as in the plan, e.g. `ffn` or `matrix:gate`. */
  readonly kind: string;
  /** Units per layer of the dense model, length L. */
  readonly before: readonly number[];
  /** Removed units per layer, length L. */
  readonly removedPerLayer: readonly number[];
}

/** Effect of a run on the vocabulary. */
export interface VocabularyReport {
  /** Rows of the embedding. */
  readonly before: number;
  readonly after: number;
  /** Per dimension, the estimated share of its tokens that are split into smaller ones. */
  readonly splits: Readonly<Partial<Record<Dimension, number>>>;
}

/** The output in one format. */
export interface WrittenReport {
  readonly format: "hf" | "gguf" | "onnx";
  /** Label for a table, e.g. `weights in BF16`. */
  readonly label: string;
  /** Bytes of the dense model (null if it was not in this format) and of the expert in this format. */
  readonly before: number | null;
  readonly after: number;
  /** Names of the files. */
  readonly files: readonly string[];
}

/** Memory limit of a run and memory requirements of its stages, in bytes. */
export interface MemoryReport {
  readonly limitBytes: number;
  /** The dense model's hidden states kept from scoring for repair, counted in the stages' peaks. 0 if none. */
  readonly keptStatesBytes: number;
  readonly stages: readonly MemoryPlan[];
}

/** What a run will take, before it begins. Plain JSON. */
export interface PruneEstimate {
  /** The model as the user named it. */
  readonly model: string;
  /** Folder of the expert. */
  readonly out: string;
  /** In order; one `writing` for each format. */
  readonly stages: readonly StageTime[];
  /** Sum over the stages. */
  readonly seconds: number;
  readonly memory: MemoryReport;
  /** One entry per format: a label as in `WrittenReport`, and the estimated bytes of the expert's weights. */
  readonly written: readonly { readonly label: string; readonly bytes: number }[];
}

/** The report of a run. Plain JSON. */
export interface PruneReport {
  /** The model as the user named it. */
  readonly model: string;
  /** Family of the model, e.g. `llama`. */
  readonly family: string;
  readonly layers: number;
  readonly layout: Layout;
  readonly granularity: PrunePlan["granularity"];
  /** The budget as the user wrote it. */
  readonly budget: string;
  /** Parameters of the dense model and of the expert; in the `masked` layout, `removed` counts zeroed ones. */
  readonly parameters: { readonly before: number; readonly after: number; readonly removed: number };
  /** Size and dtypes of the input's weights. */
  readonly input: { readonly bytes: number; readonly dtypes: readonly StoredDType[] };
  /** One entry per written format. */
  readonly written: readonly WrittenReport[];
  readonly units: readonly UnitReport[];
  /** Null if every token is kept. */
  readonly vocabulary: VocabularyReport | null;
  readonly dimensions: readonly DimensionReport[];
  /** Jaccard overlap of the irrelevant sets, per pair of dimensions. */
  readonly overlap: Readonly<Record<string, number>>;
  /** What was cut or left out without being asked for, in words. */
  readonly notes: readonly string[];
  /** Folder of the expert. */
  readonly out: string;
  /** Summary of the repair, or null if the expert was not repaired. */
  readonly repair: RepairSummary | null;
  /** File of the relevance scores, and whether it was reused from an earlier run. */
  readonly scores: { readonly path: string; readonly reused: boolean };
  /** As planned before the run. */
  readonly memory: MemoryReport;
  readonly elapsedMs: number;
}
