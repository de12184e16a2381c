/**
 * @file The result of a comparison of methods, as data: returned by `compareMethods`, printed by `--json`, stored in
 * `results.json`.
 */

import type { Dimension } from "../corpora/corpus.ts";
import type { TaskResult } from "../evaluation/summarize-task.ts";
import type { DimensionReport, UnitReport, VocabularyReport } from "./report.ts";

/** Name and version of the format of `results.json`. */
export const COMPARISON_FORMAT = "cusprun-comparison-2";

/** Settings that all runs of a comparison share. Runs with other settings are never added to it. Plain JSON. */
export interface ComparisonSettings {
  /** Version of cusprun. */
  readonly cusprun: string;
  /** SHA-256 of the model, see `checkpointFingerprint`. */
  readonly model: string;
  /** The user's name for each dimension's corpus. */
  readonly corpora: Readonly<Partial<Record<Dimension, string>>>;
  /** Maximum numbers of calibration and held-out documents per corpus, and of tokens per document. */
  readonly documents: number;
  readonly heldOutDocuments: number;
  readonly maxTokens: number;
  /** The selection options except the budget, as the user set them. */
  readonly selection: Readonly<Record<string, unknown>>;
  /** Whether all methods or none are repaired; null if each method uses its own default. */
  readonly repair: boolean | null;
  /** The evaluation files: name, number of items and a SHA-256 of the items. */
  readonly tasks: readonly { readonly name: string; readonly items: number; readonly digest: string }[];
  /** Maximum input length of an evaluation in tokens; null for the model's default. */
  readonly window: number | null;
}

/** One run: a method at a budget, with the documents of a seed. */
export interface MethodRun {
  /** Name of the method or of its variant. */
  readonly method: string;
  /** The budget as the user wrote it. */
  readonly budget: string;
  readonly seed: number;
  /** SHA-256 of everything that determines the result of the run, including the documents. */
  readonly fingerprint: string;
  readonly repaired: boolean;
  /** Parameters of the dense model and of the expert; in the `masked` layout, `removed` counts zeroed ones. */
  readonly parameters: { readonly before: number; readonly after: number; readonly removed: number };
  readonly units: readonly UnitReport[];
  /** Null if every token is kept. */
  readonly vocabulary: VocabularyReport | null;
  /** Held-out figures of the dense model and the expert, per dimension. */
  readonly dimensions: readonly DimensionReport[];
  /** Results of the expert on the evaluation files, in the order of the settings. */
  readonly tasks: readonly TaskResult[];
  /**
   * Time of the run: selection, trials, repair, writing and measuring. Scores and the dense model's figures are
   * computed before and not included.
   */
  readonly elapsedMs: number;
  /** Peak resident memory of the process during the run, in bytes. */
  readonly peakBytes: number;
  /** Folder of the expert, relative to that of the comparison; null if it was not kept. */
  readonly expert: string | null;
}

/** A comparison of methods on one model, with the same corpora and evaluation. Plain JSON. */
export interface MethodComparison {
  readonly format: typeof COMPARISON_FORMAT;
  /** The model as the user named it. */
  readonly model: string;
  readonly settings: ComparisonSettings;
  /** Parameters of the dense model and of its decoder blocks. */
  readonly parameters: { readonly total: number; readonly blocks: number };
  /** Results of the dense model on the evaluation files. */
  readonly dense: { readonly tasks: readonly TaskResult[] };
  /** In the order in which they were completed. */
  readonly runs: readonly MethodRun[];
}

/** Runs of one method at one budget, one per seed. */
export interface RunGroup {
  readonly method: string;
  readonly budget: string;
  readonly runs: readonly MethodRun[];
}

/** Groups the runs by budget, smallest cut first, and within a budget by method, in the order of `methodsOf`. */
export function groupRuns({ runs }: MethodComparison): readonly RunGroup[] {
  const removed = (budget: string): number => runs.find((run) => run.budget === budget)!.parameters.removed;
  const budgets = [...new Set(runs.map(({ budget }) => budget))].toSorted((a, b) => removed(a) - removed(b));
  return budgets.flatMap((budget) =>
    methodsOf(runs)
      .map((method) => ({ method, budget, runs: runs.filter((run) => run.method === method && run.budget === budget) }))
      .filter((group) => group.runs.length > 0),
  );
}

/** Names of the methods with runs, in the order of their first runs. */
export function methodsOf(runs: readonly MethodRun[]): readonly string[] {
  return [...new Set(runs.map(({ method }) => method))];
}
