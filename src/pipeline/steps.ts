/**
 * @file The steps of `pruneModel` one by one, each from and to a file, so that a plan can be read, changed and applied.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { DIMENSIONS, type Dimension } from "../corpora/corpus.ts";
import { loadCorpora, type CorpusOptions, type CorpusSpecs } from "../corpora/load.ts";
import type { JobOptions } from "../progress.ts";
import type { MemoryReport, UnitReport, VocabularyReport } from "../report/report.ts";
import type { MapChange } from "../model/block-energies.ts";
import type { RelevanceKind } from "../model/units.ts";
import { scoreCorpora } from "../scoring/score.ts";
import { openScores } from "../scoring/scores-file.ts";
import { readPlan, writePlan } from "../selection/plan-file.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { cutExpert, type Expert } from "../surgery/expert.ts";
import { checkRepair } from "../surgery/repair.ts";
import type { FloatDType } from "../tensor.ts";
import { defined } from "./defined.ts";
import { jobOptions } from "./job-options.ts";
import { NO_STAGES, planRun } from "./memory-step.ts";
import { openTokenizer, withModel } from "./model.ts";
import { checkOutputFile } from "./output-file.ts";
import { chosenDimensions } from "./prune.ts";
import { gatherRepairDocuments, withRepairedExpert, type RepairOptions } from "./repair-step.ts";
import { neededKinds, select, type SelectionChoice } from "./selection-step.ts";
import { countTokensOf, countUnits } from "./unit-report.ts";
import { gatherVocabulary, mayTrim } from "./vocabulary-step.ts";
import { defaultWorkRoot, openWorkFolder } from "./work-folder.ts";
import {
  checkExpertFolder,
  checkExpertFormats,
  writeExpert,
  type ReadyExpert,
  type WriteOptions,
  type WrittenExpert,
} from "./writing-step.ts";

/** What is scored, and where the scores go. */
export interface ScoreModelOptions extends JobOptions {
  readonly model: string;
  readonly corpora: CorpusSpecs;
  readonly corpusOptions?: CorpusOptions;
  /** Decides which relevances are scored: those of the units that may go. */
  readonly selection?: Pick<SelectionChoice, "granularity" | "kinds" | "matrices" | "vocabulary">;
  /** Further text, paths as corpora are given, whose tokens count for the first dimension. */
  readonly vocabularyCorpus?: readonly string[];
  /** How relevances of rotary pairs and of rows of q and k are computed. Default: `first-order`. */
  readonly mapChange?: MapChange;
  /** The scores file. */
  readonly out: string;
  readonly overwrite?: boolean;
}

/** What was scored. */
export interface ScoredModel {
  readonly out: string;
  readonly kinds: readonly RelevanceKind[];
  /** Calibration documents per dimension. */
  readonly documents: Readonly<Partial<Record<Dimension, number>>>;
  /** What scoring was estimated to need. */
  readonly memory: MemoryReport;
}

/**
 * Scores a model on corpora and saves the relevances.
 * @throws CusprunError `USAGE`, `OUTPUT_EXISTS`, `MEMORY_LIMIT`, and what opening the model, reading the corpora and writing throw.
 * @example
 * ```ts
 * import { scoreModel } from "cusprun";
 *
 * const { kinds, documents } = await scoreModel({
 *   model: "smollm2",
 *   corpora: { language: ["en"], domain: ["medical"] },
 *   corpusOptions: { documents: 48, maxTokens: 256 },
 *   selection: { kinds: ["ffn", "head"] },
 *   out: "smollm2.scores.safetensors",
 * });
 * console.log(kinds, documents.domain);
 * ```
 */
export async function scoreModel(options: ScoreModelOptions): Promise<ScoredModel> {
  chosenDimensions(options.corpora);
  await checkOutputFile(options.out, options.overwrite ?? false);
  return withModel(options.model, options, async (checkpoint) => {
    const kinds = neededKinds(checkpoint.config, options.selection ?? {});
    const tokenizer = await openTokenizer(checkpoint);
    const corpora = await loadCorpora(options.corpora, tokenizer, {
      ...options.corpusOptions,
      // Nothing is measured here, so that every document may choose.
      heldOutDocuments: options.corpusOptions?.heldOutDocuments ?? 0,
      ...jobOptions(options),
    });
    const { granularity, vocabulary: kept } = options.selection ?? {};
    const mapChange = options.mapChange ?? "first-order";
    // What a plan will ask for is not known yet: tokens are scored unless they are to stay.
    const choice = { budget: "1%", layout: "uniform" as const, ...defined({ granularity, vocabulary: kept }) };
    const scoring = { kinds, mapChange, vocabulary: mayTrim(choice) };
    const memory = planRun(checkpoint.config, corpora, { ...NO_STAGES, scoring }, options);
    const moreText = options.vocabularyCorpus ?? [];
    const vocabulary = await gatherVocabulary(checkpoint, options.corpora, corpora, tokenizer, choice, moreText, options);
    await scoreCorpora(checkpoint, corpora, options.out, { ...options, kinds, vocabulary });
    return {
      out: options.out,
      kinds,
      documents: Object.fromEntries(corpora.map(({ dimension, calibration }) => [dimension, calibration.length])),
      memory,
    };
  });
}

/** A plan without its lists of units, which are in the file. */
export interface SelectedPlan extends Omit<PrunePlan, "layers" | "vocabulary"> {
  readonly out: string;
  readonly vocabulary: VocabularyReport | null;
  readonly units: readonly UnitReport[];
}

/** What is selected from a scores file, and where the plan goes. */
export interface SelectFromScoresOptions extends JobOptions {
  /** The scores file. */
  readonly scores: string;
  /** Default: every dimension that was scored. */
  readonly dimensions?: readonly Dimension[];
  readonly selection: SelectionChoice;
  /** Dtype that budgets in bytes count in. Default BF16. */
  readonly dtype?: FloatDType;
  /** The plan file. */
  readonly out: string;
  readonly overwrite?: boolean;
}

/**
 * Decides from a scores file what goes, and saves the plan.
 * @throws CusprunError `OUTPUT_EXISTS`, and what `openScores`, `selectUnits` and `writePlan` throw.
 * @example
 * ```ts
 * import { selectFromScores } from "cusprun";
 *
 * const { parameters, units } = await selectFromScores({
 *   scores: "smollm2.scores.safetensors",
 *   selection: { budget: "25% of blocks", layout: "uniform" },
 *   out: "plan.json",
 * });
 * console.log(parameters.removed, units.map(({ kind, removedPerLayer }) => [kind, removedPerLayer]));
 * ```
 */
export async function selectFromScores(options: SelectFromScoresOptions): Promise<SelectedPlan> {
  await checkOutputFile(options.out, options.overwrite ?? false);
  const scores = await openScores(options.scores);
  try {
    const scored = DIMENSIONS.filter((dimension) => scores.documents.some(({ dimensions }) => dimensions.includes(dimension)));
    const plan = await select(
      scores,
      options.dimensions ?? scored,
      options.selection,
      { dtype: options.dtype ?? "BF16" },
      options,
    );
    await writePlan(options.out, plan);
    const { layers: _, vocabulary: __, ...summary } = plan;
    return { ...summary, units: countUnits(plan, scores.config), vocabulary: countTokensOf(plan), out: options.out };
  } finally {
    await scores.close();
  }
}

/** Which plan is applied to which model, and where the expert goes. */
export interface ApplyPlanOptions extends WriteOptions, JobOptions {
  readonly model: string;
  /** The plan file. */
  readonly plan: string;
  /** Corpora whose calibration documents the expert is repaired on. Default none: the weights that stay are the checkpoint's own. */
  readonly corpora?: CorpusSpecs;
  readonly corpusOptions?: CorpusOptions;
  /** Share of general text among the documents of repair, in [0, 1]. */
  readonly generalShare?: number;
  /** Folder that keeps an interrupted repair; default the user's cache. */
  readonly work?: string;
}

/** What was written. */
export interface AppliedPlan extends Omit<WrittenExpert, "figures"> {
  readonly out: string;
}

/**
 * Cuts what a plan names out of a model and writes the expert.
 * @throws CusprunError `OUTPUT_EXISTS`, `MEMORY_LIMIT`, and what `readPlan`, `cutExpert` and `writeExpert` throw.
 * @example
 * ```ts
 * import { applyPlan } from "cusprun";
 *
 * const { out, parameters, files } = await applyPlan({
 *   model: "smollm2",
 *   plan: "plan.json",
 *   corpora: { language: ["en"], domain: ["medical"] }, // for repair; without corpora the weights are only cut
 *   formats: ["hf", "gguf"],
 *   out: "experts/smollm2-from-plan",
 * });
 * console.log(out, parameters, files);
 * ```
 */
export async function applyPlan(options: ApplyPlanOptions): Promise<AppliedPlan> {
  const { model, plan: planPath, corpora: specs = {}, corpusOptions, work, generalShare, ...write } = options;
  const job = jobOptions(options);
  await checkExpertFolder(write, null);
  const plan = await readPlan(planPath);
  return withModel(model, options, async (checkpoint) => {
    await checkExpertFolder(write, checkpoint);
    const unmeasured = { corpora: null, dense: {}, measure: () => Promise.resolve({}) };
    planRun(checkpoint.config, [], { ...NO_STAGES, writing: true }, job);
    const cut = cutExpert(checkpoint, plan);
    await checkExpertFormats(write, checkpoint, plan);
    const writing = (expert: ReadyExpert): Promise<WrittenExpert> =>
      writeExpert(model, checkpoint, expert, write, unmeasured, job);
    const { figures: _, ...written } =
      Object.keys(specs).length === 0
        ? await writing({ plan, expert: cut, repair: null })
        : await repairOn(specs, checkpoint, cut, plan, corpusOptions, work, defined({ generalShare }), job, writing);
    return { ...written, out: write.out };
  });
}

/** Repairs a cut expert on corpora that are read for that alone, and writes it: none of their documents is held back. */
async function repairOn(
  specs: CorpusSpecs,
  checkpoint: Checkpoint,
  cut: Expert,
  plan: PrunePlan,
  corpusOptions: CorpusOptions | undefined,
  work: string | undefined,
  repair: RepairOptions,
  job: JobOptions,
  writing: (expert: ReadyExpert) => Promise<WrittenExpert>,
): Promise<WrittenExpert> {
  checkRepair(plan);
  const options = { ...corpusOptions, heldOutDocuments: corpusOptions?.heldOutDocuments ?? 0, ...job };
  const tokenizer = await openTokenizer(checkpoint);
  const corpora = await loadCorpora(specs, tokenizer, options);
  planRun(checkpoint.config, corpora, { ...NO_STAGES, repairing: cut.config }, job);
  const workFolder = await openWorkFolder(checkpoint, work ?? defaultWorkRoot());
  const documents = await gatherRepairDocuments(corpora, tokenizer, repair, options, job);
  return withRepairedExpert(checkpoint, cut, plan, documents, workFolder, job, writing);
}
