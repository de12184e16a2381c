/**
 * @file What a comparison is to make, from the user's options alone: methods × budgets × seeds, each once.
 */

import type { JobOptions } from "../progress.ts";
import { CusprunError } from "../errors.ts";
import type { CorpusOptions, CorpusSpecs } from "../corpora/load.ts";
import { parseBudget } from "../selection/budget.ts";
import type { MethodName } from "../selection/methods/index.ts";
import { digestOf } from "./comparison-file.ts";
import { defined } from "./defined.ts";
import { withMethod, type SelectionChoice } from "./selection-step.ts";

/** A method under settings of its own, as a row of the table. */
export interface MethodVariant {
  /** What the table calls it; unlike every other in its letters and digits. */
  readonly name: string;
  readonly method: MethodName;
  /** Whether it is repaired; default as the comparison says, otherwise as the method brings it. */
  readonly repair?: boolean;
  /** Share of general text among the documents of repair, in [0, 1]. */
  readonly generalShare?: number;
  /** What it selects otherwise than the rest. */
  readonly selection?: Partial<Omit<SelectionChoice, "budget">>;
}

/** What is compared, on what, and where the results go. */
export interface CompareOptions extends JobOptions {
  /** A folder, a GGUF file, a name of the catalogue, or `owner/name` on the hub. */
  readonly model: string;
  readonly corpora: CorpusSpecs;
  /** For all runs; seeds are `seeds`. */
  readonly corpusOptions?: Omit<CorpusOptions, "seed">;
  /** At least one. A name alone is the method as it comes. */
  readonly methods: readonly (MethodName | MethodVariant)[];
  /** At least one; see `parseBudget`. */
  readonly budgets: readonly string[];
  /** Each takes other documents; default 0 alone. */
  readonly seeds?: readonly number[];
  /** For all methods; what a method has defaults for is the method's where absent. Default layout: `uniform`. */
  readonly selection?: Partial<Omit<SelectionChoice, "budget">>;
  /** Repairs all methods, or none. Default: each gets what it brings itself. */
  readonly repair?: boolean;
  /** Evaluation files, or folders of them, that the dense model and every expert are measured on. */
  readonly tasks?: readonly string[];
  /** Most items of each evaluation file: its first ones. Default all. */
  readonly limit?: number;
  /** Longest input of an evaluation in tokens; default as `evaluateModel`. */
  readonly maxTokens?: number;
  /** Folder of the results. One of an earlier call under the same settings is added to. */
  readonly out: string;
  /** Begin anew where there are results. Default false. */
  readonly overwrite?: boolean;
  /** Whether the experts stay, in `experts` below `out`. Default false. */
  readonly keep?: boolean;
  /** Folder that keeps scores and figures between runs; default the user's cache. */
  readonly work?: string;
}

/** A method at a budget. */
export interface PlannedExpert {
  readonly variant: MethodVariant;
  readonly budget: string;
  /** With the method's defaults. */
  readonly choice: SelectionChoice;
  readonly repair: boolean | undefined;
}

/** An expert with the documents of a seed. */
export interface PlannedRun extends PlannedExpert {
  readonly seed: number;
}

/**
 * Every method at every budget.
 * @throws CusprunError `USAGE` where there is nothing to compare or something twice, `BUDGET_INVALID`, and `SELECTION_INVALID` where a method cannot
 *   rank what was chosen.
 */
export function planExperts(options: CompareOptions): readonly PlannedExpert[] {
  const variants = options.methods.map((method): MethodVariant =>
    typeof method === "string" ? { name: method, method } : method,
  );
  checkEachOnce(
    "methods",
    variants.map(({ name }) => name),
    fileName,
  );
  checkEachOnce("budgets", options.budgets, budgetKey);
  return options.budgets.flatMap((budget) =>
    variants.map((variant) => ({
      variant,
      budget,
      choice: withMethod({ layout: "uniform", ...options.selection, ...variant.selection, budget }, variant.method),
      repair: variant.repair ?? options.repair,
    })),
  );
}

/**
 * The seeds, each once.
 * @throws CusprunError `USAGE` where there is none, or one twice.
 */
export function planSeeds({ seeds = [0] }: CompareOptions): readonly number[] {
  checkEachOnce("seeds", seeds.map(String), (seed) => seed);
  return seeds;
}

function checkEachOnce(where: string, texts: readonly string[], keyOf: (text: string) => string): void {
  const keys = texts.map(keyOf);
  const twice = texts.find((_, index) => keys.indexOf(keys[index]!) !== index);
  if (texts.length > 0 && twice === undefined) return;
  throw new CusprunError("USAGE", {
    where,
    found: twice === undefined ? "none" : `'${twice}' twice`,
    expected: "one or more, each once",
    remedy: twice === undefined ? `Add --${where}` : "Remove one of the two",
  });
}

/** Budgets that mean the same have the same key, however they are written. */
export function budgetKey(budget: string): string {
  return JSON.stringify(parseBudget(budget));
}

/** What a run is known by in the results: runs of the same key are never there twice. */
export function runKey(run: { readonly method: string; readonly budget: string; readonly seed: number }): string {
  return JSON.stringify([run.method, budgetKey(run.budget), run.seed]);
}

/** A name for progress: `flap, 25% of blocks, seed 1`; the seed only where there are several. */
export function runName({ variant, budget, seed }: PlannedRun, severalSeeds: boolean): string {
  return [variant.name, budget, ...(severalSeeds ? [`seed ${seed}`] : [])].join(", ");
}

/** A folder's name of the expert: `flap-25-percent-of-blocks-seed-1`. */
export function expertFolderName({ variant, budget, seed }: PlannedRun): string {
  return fileName(`${variant.name} ${budget.replaceAll("%", " percent ")} seed ${seed}`);
}

function fileName(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{Letter}\p{Number}.]+/gu, "-")
    .replaceAll(/^[-.]+|-+$/g, "");
}

/** SHA-256 over everything that decides what a run gives. */
export function runFingerprint(
  { variant, budget, choice, repair, seed }: PlannedRun,
  settings: unknown,
  documents: string,
): string {
  const { budget: _, ...selection } = choice;
  const { name, method, generalShare } = variant;
  const own = defined({ name, method, generalShare, selection, repair });
  return digestOf({ settings, own, budget: budgetKey(budget), seed, documents });
}
