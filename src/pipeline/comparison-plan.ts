/**
 * @file The runs of a comparison, planned from the user's options alone: methods × budgets × seeds, each once.
 */

import type { JobOptions } from "../progress.ts";
import { CusprunError } from "../errors.ts";
import type { CorpusOptions, CorpusSpecs } from "../corpora/load.ts";
import { parseBudget } from "../selection/budget.ts";
import type { MethodName } from "../selection/methods/index.ts";
import { digestOf } from "./comparison-file.ts";
import { defined } from "./defined.ts";
import { withMethod, type SelectionChoice } from "./selection-step.ts";

/** A method with settings of its own: a row of the table. */
export interface MethodVariant {
  /** Its name in the table; differs from every other name in its letters and digits. */
  readonly name: string;
  readonly method: MethodName;
  /** Whether it is repaired; default: the comparison's `repair`, and if that is absent, the method's own default. */
  readonly repair?: boolean;
  /** Share of general text among the documents of repair, in [0, 1]. */
  readonly generalShare?: number;
  /** Settings of its selection that differ from the comparison's. */
  readonly selection?: Partial<Omit<SelectionChoice, "budget">>;
}

/** What is compared, on which corpora, and where the results are written. */
export interface CompareOptions extends JobOptions {
  /** A folder, a GGUF file, a name of the catalogue, or `owner/name` on the hub. */
  readonly model: string;
  readonly corpora: CorpusSpecs;
  /** For all runs; seeds are `seeds`. */
  readonly corpusOptions?: Omit<CorpusOptions, "seed">;
  /** At least one. A name alone means the method with its defaults. */
  readonly methods: readonly (MethodName | MethodVariant)[];
  /** At least one; see `parseBudget`. */
  readonly budgets: readonly string[];
  /** Each seed draws other documents; default 0 alone. */
  readonly seeds?: readonly number[];
  /** For all methods; a method's own defaults apply to absent settings. Default layout: `uniform`. */
  readonly selection?: Partial<Omit<SelectionChoice, "budget">>;
  /** Repairs all methods, or none. Default: as each method's own default says. */
  readonly repair?: boolean;
  /** Evaluation files, or folders of them, that the dense model and every expert are measured on. */
  readonly tasks?: readonly string[];
  /** Most items of each evaluation file: its first ones. Default all. */
  readonly limit?: number;
  /** Longest input of an evaluation in tokens; default as `evaluateModel`. */
  readonly maxTokens?: number;
  /** Folder of the results. One of an earlier call under the same settings is added to. */
  readonly out: string;
  /** Replace existing results instead of adding to them. Default false. */
  readonly overwrite?: boolean;
  /** Whether the experts are kept, in `experts` below `out`. Default false. */
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
 * @throws CusprunError `USAGE` if there is nothing to compare or something occurs twice, `BUDGET_INVALID`, and
 *   `SELECTION_INVALID` if a method cannot rank the chosen units.
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
 * @throws CusprunError `USAGE` if there is none, or one occurs twice.
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

/** A key that is the same for budgets that mean the same, however they are written. */
export function budgetKey(budget: string): string {
  return JSON.stringify(parseBudget(budget));
}

/** The key of a run in the results, which never hold two runs of the same key. */
export function runKey(run: { readonly method: string; readonly budget: string; readonly seed: number }): string {
  return JSON.stringify([run.method, budgetKey(run.budget), run.seed]);
}

/** A name for progress events: `flap, 25% of blocks, seed 1`; the seed only if there are several. */
export function runName({ variant, budget, seed }: PlannedRun, severalSeeds: boolean): string {
  return [variant.name, budget, ...(severalSeeds ? [`seed ${seed}`] : [])].join(", ");
}

/** Name of the expert's folder: `flap-25-percent-of-blocks-seed-1`. */
export function expertFolderName({ variant, budget, seed }: PlannedRun): string {
  return fileName(`${variant.name} ${budget.replaceAll("%", " percent ")} seed ${seed}`);
}

function fileName(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{Letter}\p{Number}.]+/gu, "-")
    .replaceAll(/^[-.]+|-+$/g, "");
}

/** SHA-256 over everything that a run's result depends on. */
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
