/**
 * @file The steps of `pruneModel` as separate jobs, each from and to a file, so that a plan can be read, changed and
 * applied.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { identifyModel } from "../checkpoint/identity.ts";
import { CorpusStamps } from "../corpora/corpus-stamps.ts";
import { DIMENSIONS, type Dimension, type SourceReport } from "../corpora/corpus.ts";
import { fitToPositions, loadCorpora, type CorpusOptions, type CorpusSpecs } from "../corpora/load.ts";
import { withOutputFile, type OutputPlace } from "../output-place.ts";
import type { JobOptions } from "../progress.ts";
import type { MemoryReport, UnitReport, VocabularyReport } from "../report/report.ts";
import type { MapChange } from "../model/block-energies.ts";
import type { LayerJournal } from "../model/layer-journal.ts";
import type { RelevanceKind } from "../model/units.ts";
import { scoreCorpora, scoresFingerprint } from "../scoring/score.ts";
import { openScores } from "../scoring/scores-file.ts";
import { readPlan, writePlan } from "../selection/plan-file.ts";
import { checkPlannedModel } from "../selection/plan-model.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { selectUnits } from "../selection/select.ts";
import { mayTrim } from "../selection/selection-options.ts";
import { cutExpert, type Expert } from "../surgery/expert.ts";
import { checkRepair } from "../surgery/repair.ts";
import type { FloatDType } from "../tensor.ts";
import { defined } from "./defined.ts";
import { openedInputs, protectedInputs } from "./inputs.ts";
import { jobOptions } from "./job-options.ts";
import { NO_STAGES, planRun } from "./memory-step.ts";
import { openTokenizer, withModel } from "./model.ts";
import { OUTPUT_FILES } from "./output-file.ts";
import { withPartialResults } from "./partial-results.ts";
import { gatherRepairDocuments, withRepairedExpert } from "./repair-step.ts";
import { chosenDimensions, neededKinds, type SelectionChoice } from "./selection-step.ts";
import { countTokensOf, countUnits } from "./unit-report.ts";
import { gatherVocabulary } from "./vocabulary-step.ts";
import { openWorkFolder } from "./work-folder.ts";
import { withWorkFolder } from "./work-use.ts";
import {
  checkExpertFormats,
  withExpertFolder,
  writeExpert,
  type ReadyExpert,
  type WriteOptions,
  type WrittenExpert,
} from "./writing-step.ts";

/** What is scored, and where the scores are saved. */
export interface ScoreModelOptions extends JobOptions {
  readonly model: string;
  readonly corpora: CorpusSpecs;
  readonly corpusOptions?: CorpusOptions;
  /** Decides which relevances are scored: those of the units that may be removed. */
  readonly selection?: Pick<SelectionChoice, "granularity" | "kinds" | "matrices" | "vocabulary">;
  /** Further text, paths in the form of corpora, whose tokens count for the first dimension. */
  readonly vocabularyCorpus?: readonly string[];
  /** How relevances of rotary pairs and of rows of q and k are computed. Default: `first-order`. */
  readonly mapChange?: MapChange;
  /** Folder that keeps an interrupted scoring; default the user's cache. */
  readonly work?: string;
  /** The scores file. */
  readonly out: string;
  readonly overwrite?: boolean;
}

/** The result of scoring. */
export interface ScoredModel {
  readonly out: string;
  readonly kinds: readonly RelevanceKind[];
  /** Calibration documents per dimension. */
  readonly documents: Readonly<Partial<Record<Dimension, number>>>;
  /** What was read of each corpus. */
  readonly corpora: readonly { readonly dimension: Dimension; readonly sources: readonly SourceReport[] }[];
  /** The estimated memory that scoring needs. */
  readonly memory: MemoryReport;
}

/**
 * Scores a model on corpora and saves the relevances.
 * @throws CusprunError `USAGE`, `OUTPUT_EXISTS`, `MEMORY_LIMIT`, and the errors of opening the model, reading the
 *   corpora and writing.
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
  const { out, overwrite = false } = options;
  const reserving = { ...OUTPUT_FILES.scores, overwrite, inputs: protectedInputs(options) };
  return withOutputFile(out, reserving, (place) => scoreTo(place, options));
}

function scoreTo(place: OutputPlace, options: ScoreModelOptions): Promise<ScoredModel> {
  return withModel(options.model, options, async (checkpoint) => {
    await place.protect(openedInputs(checkpoint, null));
    const { granularity, vocabulary: kept } = options.selection ?? {};
    const kinds = neededKinds(checkpoint.config, options.selection ?? {});
    const tokenizer = await openTokenizer(checkpoint);
    const job = jobOptions(options);
    const reading = { ...job, stamps: new CorpusStamps() };
    const corpora = await loadCorpora(options.corpora, tokenizer, {
      ...fitToPositions(options.corpusOptions, checkpoint.config.maxPositionEmbeddings),
      // Nothing is measured here, so every document may be used for calibration.
      heldOutDocuments: options.corpusOptions?.heldOutDocuments ?? 0,
      ...reading,
    });
    const mapChange = options.mapChange ?? "first-order";
    // The budget and the layout of a later plan are not known yet, and forbid nothing.
    const trimming = defined({ granularity, vocabulary: kept });
    const scoring = { kinds, mapChange, vocabulary: mayTrim(trimming) };
    const memory = planRun(checkpoint.config, corpora, { ...NO_STAGES, scoring }, options);
    const moreText = options.vocabularyCorpus ?? [];
    const vocabulary = await gatherVocabulary(checkpoint, options.corpora, corpora, tokenizer, trimming, moreText, reading);
    const workFolder = await openWorkFolder(checkpoint, options.work, job);
    await place.protect(openedInputs(checkpoint, workFolder));
    const request = { kinds, mapChange, vocabulary };
    const fingerprint = await scoresFingerprint(checkpoint, corpora, request);
    const scoreAll = (journal: LayerJournal): Promise<void> =>
      place.write((path) => scoreCorpora(checkpoint, corpora, path, { ...job, ...request, journal }));
    await withWorkFolder(workFolder, options.model, checkpoint, options.work, job, () =>
      withPartialResults(workFolder, "scoring", fingerprint, checkpoint, scoreAll),
    );
    return {
      out: options.out,
      kinds,
      documents: Object.fromEntries(corpora.map(({ dimension, calibration }) => [dimension, calibration.length])),
      corpora: corpora.map(({ dimension, sources }) => ({ dimension, sources })),
      memory,
    };
  });
}

/** A plan without its lists of units and tensors, which are in the file. */
export interface SelectedPlan extends Omit<PrunePlan, "layers" | "vocabulary" | "model"> {
  readonly out: string;
  readonly vocabulary: VocabularyReport | null;
  readonly units: readonly UnitReport[];
}

/** What is selected from a scores file, and where the plan is saved. */
export interface SelectFromScoresOptions extends JobOptions {
  /** The scores file. */
  readonly scores: string;
  /** Default: every dimension that was scored. */
  readonly dimensions?: readonly Dimension[];
  readonly selection: SelectionChoice;
  /** Dtype in which budgets in bytes are counted. Default BF16. */
  readonly dtype?: FloatDType;
  /** The plan file. */
  readonly out: string;
  readonly overwrite?: boolean;
}

/**
 * Selects units from a scores file, and saves the plan.
 * @throws CusprunError `OUTPUT_EXISTS`, and the errors of `openScores`, `selectUnits` and `writePlan`.
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
  const { out, overwrite = false } = options;
  const reserving = { ...OUTPUT_FILES.plan, overwrite, inputs: protectedInputs(options) };
  return withOutputFile(out, reserving, (place) => selectTo(place, options));
}

async function selectTo(place: OutputPlace, options: SelectFromScoresOptions): Promise<SelectedPlan> {
  const scores = await openScores(options.scores);
  try {
    const scored = DIMENSIONS.filter((dimension) => scores.documents.some(({ dimensions }) => dimensions.includes(dimension)));
    const plan = await selectUnits(scores, {
      ...options.selection,
      ...jobOptions(options),
      dtype: options.dtype ?? "BF16",
      dimensions: options.dimensions ?? scored,
    });
    await place.write((path) => writePlan(path, plan));
    const { layers: _, vocabulary: __, model: ___, ...summary } = plan;
    return { ...summary, units: countUnits(plan, scores.config), vocabulary: countTokensOf(plan), out: options.out };
  } finally {
    await scores.close();
  }
}

/** Which plan is applied to which model, and where the expert is written. */
export interface ApplyPlanOptions extends WriteOptions, JobOptions {
  readonly model: string;
  /** The plan file. */
  readonly plan: string;
  /**
   * Corpora on whose calibration documents the expert is repaired. Default none: the kept weights are the checkpoint's
   * own.
   */
  readonly corpora?: CorpusSpecs;
  readonly corpusOptions?: CorpusOptions;
  /** Share of general text among the documents of repair, in [0, 1]. */
  readonly generalShare?: number;
  /** Folder that keeps an interrupted repair; default the user's cache. */
  readonly work?: string;
}

/** The expert that was written. */
export interface AppliedPlan extends Omit<WrittenExpert, "figures"> {
  readonly out: string;
}

/**
 * Cuts a model as a plan says and writes the expert.
 * @throws CusprunError `OUTPUT_EXISTS`, `MEMORY_LIMIT`, and the errors of `readPlan`, `cutExpert`, `identifyModel`,
 *   `checkPlannedModel` and `writeExpert`.
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
  return withExpertFolder(options, protectedInputs(options), (place) => applyTo(place, options));
}

async function applyTo(place: OutputPlace, options: ApplyPlanOptions): Promise<AppliedPlan> {
  const { model, plan: planPath, corpora: specs = {}, ...write } = options;
  const job = jobOptions(options);
  const plan = await readPlan(planPath);
  return withModel(model, options, async (checkpoint) => {
    await place.protect(openedInputs(checkpoint, null));
    const unmeasured = { corpora: null, dense: {}, measure: () => Promise.resolve({}) };
    planRun(checkpoint.config, [], { ...NO_STAGES, writing: true }, job);
    const cut = cutExpert(checkpoint, plan);
    await checkExpertFormats(write, checkpoint, plan, cut);
    checkPlannedModel(plan, await identifyModel(checkpoint, job), model, planPath);
    const writing = (expert: ReadyExpert): Promise<WrittenExpert> =>
      writeExpert(model, checkpoint, expert, place, write, unmeasured, job);
    const { figures: _, ...written } =
      Object.keys(specs).length === 0
        ? await writing({ plan, expert: cut, repair: null })
        : await repairOn(specs, options, checkpoint, cut, plan, place, job, writing);
    return { ...written, out: write.out };
  });
}

/**
 * Repairs a cut expert on corpora that are read for that purpose alone, so that none of their documents is held out,
 * and writes it.
 */
async function repairOn(
  specs: CorpusSpecs,
  { model, corpusOptions, work, generalShare }: ApplyPlanOptions,
  checkpoint: Checkpoint,
  cut: Expert,
  plan: PrunePlan,
  place: OutputPlace,
  job: JobOptions,
  writing: (expert: ReadyExpert) => Promise<WrittenExpert>,
): Promise<WrittenExpert> {
  checkRepair(plan);
  const fitted = fitToPositions(corpusOptions, checkpoint.config.maxPositionEmbeddings);
  const options = { ...fitted, heldOutDocuments: corpusOptions?.heldOutDocuments ?? 0, ...job };
  const tokenizer = await openTokenizer(checkpoint);
  const corpora = await loadCorpora(specs, tokenizer, options);
  planRun(checkpoint.config, corpora, { ...NO_STAGES, repairing: cut.config }, job);
  const workFolder = await openWorkFolder(checkpoint, work, job);
  await place.protect(openedInputs(checkpoint, workFolder));
  const documents = await gatherRepairDocuments(corpora, tokenizer, defined({ generalShare }), options, job);
  return withWorkFolder(workFolder, model, checkpoint, work, job, () =>
    withRepairedExpert(checkpoint, cut, plan, documents, workFolder, job, writing),
  );
}
