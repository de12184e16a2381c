/**
 * @file What a comparison of methods found, as data: the result of `compareMethods`, of `--json`, and what `results.json` holds.
 */

import type { Dimension } from "../corpora/corpus.ts";
import type { TaskResult } from "../evaluation/summarize-task.ts";
import type { DimensionReport, UnitReport, VocabularyReport } from "./report.ts";

/** Name and version of the form of `results.json`. */
export const COMPARISON_FORMAT = "cusprun-comparison-2";

/** What all runs of a comparison share. Runs under other settings are never put beside these. Plain JSON. */
export interface ComparisonSettings {
  /** Version of cusprun that makes the runs. */
  readonly cusprun: string;
  /** SHA-256 of the model, see `checkpointFingerprint`. */
  readonly model: string;
  /** What the user calls each dimension's corpus. */
  readonly corpora: Readonly<Partial<Record<Dimension, string>>>;
  /** Most documents of each corpus that choose, and that judge, and most tokens of each. */
  readonly documents: number;
  readonly heldOutDocuments: number;
  readonly maxTokens: number;
  /** The selection but for its budget, as the user set it. */
  readonly selection: Readonly<Record<string, unknown>>;
  /** Whether every method is repaired, or none; null where each gets what it brings itself. */
  readonly repair: boolean | null;
  /** The evaluation files: name, items and a SHA-256 of them. */
  readonly tasks: readonly { readonly name: string; readonly items: number; readonly digest: string }[];
  /** Longest input of an evaluation in tokens; null where the model decides. */
  readonly window: number | null;
}

/** One expert: a method at a budget, with the documents of a seed. */
export interface MethodRun {
  /** Name of the method, or of its variant. */
  readonly method: string;
  /** The budget as the user wrote it. */
  readonly budget: string;
  readonly seed: number;
  /** SHA-256 over everything that decides what the run gives, the documents included. */
  readonly fingerprint: string;
  readonly repaired: boolean;
  /** Parameters of the dense model and of the expert; `removed` are zeroed where the layout is `masked`. */
  readonly parameters: { readonly before: number; readonly after: number; readonly removed: number };
  readonly units: readonly UnitReport[];
  /** Null where every token stays. */
  readonly vocabulary: VocabularyReport | null;
  /** Held-out figures, dense and of the expert, per dimension. */
  readonly dimensions: readonly DimensionReport[];
  /** The expert on the evaluation files, in the order of the settings. */
  readonly tasks: readonly TaskResult[];
  /** Time of the run: selection, trials, repair, writing and measuring. Scores and the dense model's figures are there before. */
  readonly elapsedMs: number;
  /** The largest resident memory of the process meanwhile, in bytes. */
  readonly peakBytes: number;
  /** Folder of the expert, below that of the comparison; null where it was not kept. */
  readonly expert: string | null;
}

/** Methods side by side on one model, corpora and evaluation. Plain JSON. */
export interface MethodComparison {
  readonly format: typeof COMPARISON_FORMAT;
  /** What the user called the model. */
  readonly model: string;
  readonly settings: ComparisonSettings;
  /** Parameters of the dense model and of its decoder blocks. */
  readonly parameters: { readonly total: number; readonly blocks: number };
  /** The dense model on the evaluation files. */
  readonly dense: { readonly tasks: readonly TaskResult[] };
  /** In the order in which they were made. */
  readonly runs: readonly MethodRun[];
}

/** Runs of one method at one budget, one per seed. */
export interface RunGroup {
  readonly method: string;
  readonly budget: string;
  readonly runs: readonly MethodRun[];
}

/** The runs by budget, the smallest cut first, and within it by method in the order of their first runs. */
export function groupRuns({ runs }: MethodComparison): readonly RunGroup[] {
  const removed = (budget: string): number => runs.find((run) => run.budget === budget)!.parameters.removed;
  const budgets = [...new Set(runs.map(({ budget }) => budget))].toSorted((a, b) => removed(a) - removed(b));
  return budgets.flatMap((budget) =>
    methodsOf(runs)
      .map((method) => ({ method, budget, runs: runs.filter((run) => run.method === method && run.budget === budget) }))
      .filter((group) => group.runs.length > 0),
  );
}

/** Names of the methods that have runs, in the order of their first runs. */
export function methodsOf(runs: readonly MethodRun[]): readonly string[] {
  return [...new Set(runs.map(({ method }) => method))];
}
