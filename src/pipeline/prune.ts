/**
 * @file The whole run: model + corpora + budget → expert. Everything that can be refused is refused before anything
 * expensive, and the results of earlier runs are reused.
 * Source: Cus-Prun, arXiv 2506.02561.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Corpus, Dimension } from "../corpora/corpus.ts";
import { fitToPositions, loadCorpora, type CorpusOptions, type CorpusSpecs } from "../corpora/load.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import type { JobOptions } from "../progress.ts";
import type { MemoryReport, PruneReport } from "../report/report.ts";
import type { MapChange } from "../model/block-energies.ts";
import { METHODS, type MethodName } from "../selection/methods/index.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { selectUnits } from "../selection/select.ts";
import { mayTrim, type SelectionOptions } from "../selection/selection-options.ts";
import { cutExpert, type Expert } from "../surgery/expert.ts";
import { defined } from "./defined.ts";
import { jobOptions } from "./job-options.ts";
import { measureDense, measureExpert, type PerplexityByDimension } from "./measure-step.ts";
import { planRun } from "./memory-step.ts";
import { openTokenizer, withModel } from "./model.ts";
import { reportPrune } from "./prune-report.ts";
import { rehearsePrune, type RehearsedPrune } from "./rehearse.ts";
import { checkGeneralShare, gatherRepairDocuments, withRepairedExpert } from "./repair-step.ts";
import { ensureScores, type ReadyScores } from "./scoring-step.ts";
import { chosenDimensions, dropsLayers, scoredKinds, withMethod, type SelectionChoice } from "./selection-step.ts";
import { ensureTrials, needsTrials } from "./trial-step.ts";
import { gatherVocabulary } from "./vocabulary-step.ts";
import { openWorkFolder, type ScoringRequest } from "./work-folder.ts";
import {
  checkExpertFolder,
  checkExpertFormats,
  writeExpert,
  type ReadyExpert,
  type WriteOptions,
  type WrittenExpert,
} from "./writing-step.ts";

/** What an expert is made from, how, and where it is written. */
export interface PruneOptions extends WriteOptions, JobOptions {
  /** A folder, a GGUF file, a name of the catalogue, or `owner/name` on the hub. */
  readonly model: string;
  /** The expert's dimensions: presets and files of one, two or three of them. */
  readonly corpora: CorpusSpecs;
  readonly corpusOptions?: CorpusOptions;
  readonly selection: SelectionChoice;
  /** The rule that chooses the units, with its own defaults. Default `cusprun`. */
  readonly method?: MethodName;
  /**
   * Further text, paths in the form of corpora, whose tokens count for the first dimension when the vocabulary is
   * chosen.
   */
  readonly vocabularyCorpus?: readonly string[];
  /** How relevances of rotary pairs and of rows of q and k are computed. Default: `first-order`. */
  readonly mapChange?: MapChange;
  /**
   * Whether the kept weights are fitted again on the calibration documents, so that the expert follows the dense model.
   * By default, if the method repairs, but neither for `granularity: matrix`, which is the paper's method unchanged,
   * nor for whole layers.
   */
  readonly repair?: boolean;
  /** Share of general text among the documents of repair, in [0, 1]. */
  readonly generalShare?: number;
  /** Whether perplexity is measured before and after. Default true. */
  readonly measure?: boolean;
  /** Folder that keeps scores and figures between runs; default the user's cache. */
  readonly work?: string;
}

/**
 * Makes a smaller expert of a model.
 * @throws CusprunError `USAGE` without a corpus; `OUTPUT_EXISTS`; `MEMORY_LIMIT`; the errors of `resolveModel`,
 *   `openCheckpoint`, `loadCorpora`, `selectUnits` and `writeExpert`. If the signal aborts, its reason; nothing
 *   unfinished is left then.
 * @example
 * ```ts
 * import { pruneModel, renderReport } from "cusprun";
 *
 * const report = await pruneModel({
 *   model: "smollm2",
 *   corpora: { language: ["en"], domain: ["medical"], task: ["multiple-choice"] },
 *   selection: { budget: "20%", layout: "uniform" },
 *   out: "experts/smollm2-en-medical",
 *   onProgress: ({ stage, done, total }) => console.error(stage, done, total),
 * });
 * console.log(renderReport(report));
 * ```
 */
export async function pruneModel(options: PruneOptions): Promise<PruneReport> {
  const startedAtMs = performance.now();
  if (options.generalShare !== undefined) checkGeneralShare(options.generalShare);
  const dimensions = chosenDimensions(options.corpora);
  const choice = withMethod(options.selection, options.method ?? "cusprun");
  await checkExpertFolder(options, null);
  return withModel(options.model, jobOptions(options), async (checkpoint) => {
    await checkExpertFolder(options, checkpoint);
    const run = await PruneRun.prepare(checkpoint, dimensions, choice, options);
    const report = await run.make();
    return { ...report, elapsedMs: Math.round(performance.now() - startedAtMs) };
  });
}

/** The parts of a run that are fixed before its first expensive stage. */
interface PreparedPrune {
  readonly checkpoint: Checkpoint;
  readonly options: PruneOptions;
  readonly method: MethodName;
  readonly dimensions: readonly Dimension[];
  readonly rehearsed: RehearsedPrune;
  readonly tokenizer: Tokenizer;
  readonly corpora: readonly Corpus[];
  readonly memory: MemoryReport;
  /** Everything that is scored. */
  readonly request: ScoringRequest;
  readonly workFolder: string;
}

/** One run on an opened model, stage by stage. */
class PruneRun {
  readonly #prepared: PreparedPrune;
  readonly #job: JobOptions;

  private constructor(prepared: PreparedPrune) {
    this.#prepared = prepared;
    this.#job = jobOptions(prepared.options);
  }

  /** Refuses what cannot be done, reads the corpora and plans the memory. */
  static async prepare(
    checkpoint: Checkpoint,
    dimensions: readonly Dimension[],
    choice: SelectionChoice,
    options: PruneOptions,
  ): Promise<PruneRun> {
    const { method = "cusprun", mapChange = "first-order", measure = true, vocabularyCorpus = [] } = options;
    const { config } = checkpoint;
    const corpusOptions = fitToPositions(options.corpusOptions, config.maxPositionEmbeddings);
    const job = jobOptions(options);
    const rehearsed = await rehearsePrune(checkpoint, dimensions, choice, options);
    const tokenizer = await openTokenizer(checkpoint);
    const corpora = await loadCorpora(options.corpora, tokenizer, { ...corpusOptions, ...job });
    const kinds = scoredKinds(config, choice, method);
    const memory = planRun(
      config,
      corpora,
      {
        scoring: { kinds, mapChange, vocabulary: mayTrim(choice) },
        trials: needsTrials(rehearsed.selection) ? config.numHiddenLayers * kinds.length : 0,
        repairing: rehearsed.repaired,
        measuring: measure,
        writing: true,
      },
      job,
    );
    const workFolder = await openWorkFolder(checkpoint, options.work);
    const specs = options.corpora;
    const vocabulary = await gatherVocabulary(checkpoint, specs, corpora, tokenizer, choice, vocabularyCorpus, job);
    const request = { kinds, mapChange, vocabulary };
    return new PruneRun({
      checkpoint,
      options,
      method,
      dimensions,
      rehearsed,
      tokenizer,
      corpora,
      memory,
      request,
      workFolder,
    });
  }

  /** Scores, selects, cuts, repairs, writes and measures. */
  async make(): Promise<Omit<PruneReport, "elapsedMs">> {
    const { checkpoint, options, corpora, memory } = this.#prepared;
    const scores = await this.#score();
    const plan = await this.#select(scores);
    const cut = await this.#cut(plan);
    const dense = await this.#measureDense();
    const written = await this.#repairAndWrite(plan, cut, dense);
    const { model, out, corpusOptions } = options;
    const { path, reused } = scores;
    return reportPrune({
      model,
      out,
      checkpoint,
      corpora,
      corpusOptions,
      scores: { path, reused },
      plan,
      dense,
      written,
      memory,
    });
  }

  #score(): Promise<ReadyScores> {
    const { checkpoint, corpora, request, workFolder } = this.#prepared;
    return ensureScores(checkpoint, corpora, request, workFolder, this.#job);
  }

  /** Selects by the method's relevances, after trials if the selection needs them; closes the scores. */
  async #select({ scores }: ReadyScores): Promise<PrunePlan> {
    const { checkpoint, options, method, dimensions, rehearsed, corpora, workFolder } = this.#prepared;
    const { selection, extras, repairing } = rehearsed;
    try {
      const relevances = METHODS[method].relevances(scores, checkpoint, options.corpusOptions?.seed ?? 0);
      const choosing: SelectionOptions = { ...selection, ...extras, ...this.#job, dimensions, method };
      const trials = needsTrials(selection)
        ? await ensureTrials(checkpoint, corpora, relevances, choosing, repairing, workFolder, this.#job)
        : undefined;
      return await selectUnits(relevances, { ...choosing, ...defined({ trials }) });
    } finally {
      await scores.close();
    }
  }

  async #cut(plan: PrunePlan): Promise<Expert> {
    const { checkpoint, options, rehearsed } = this.#prepared;
    const cut = cutExpert(checkpoint, plan);
    // Only now is it known which layers are removed, and so whether the layers with sliding attention still follow a
    // period.
    if (dropsLayers(rehearsed.selection)) await checkExpertFormats(options, checkpoint, plan, cut);
    return cut;
  }

  async #measureDense(): Promise<PerplexityByDimension> {
    const { checkpoint, options, corpora, workFolder } = this.#prepared;
    return (options.measure ?? true) ? measureDense(checkpoint, corpora, workFolder, this.#job) : {};
  }

  /** Repairs the expert if it is to be repaired, and writes it. */
  async #repairAndWrite(plan: PrunePlan, cut: Expert, dense: PerplexityByDimension): Promise<WrittenExpert> {
    const { checkpoint, options, rehearsed, tokenizer, corpora, workFolder } = this.#prepared;
    const write = (ready: ReadyExpert): Promise<WrittenExpert> => this.#write(ready, dense);
    // If no unit is removed there is no error to repair.
    const cutsUnits = plan.layers.some(({ cuts }) => Object.keys(cuts).length > 0);
    if (!rehearsed.repairing || !cutsUnits) return write({ plan, expert: cut, repair: null });
    const repair = defined({ generalShare: options.generalShare });
    const documents = await gatherRepairDocuments(
      corpora,
      tokenizer,
      repair,
      fitToPositions(options.corpusOptions, checkpoint.config.maxPositionEmbeddings),
      this.#job,
    );
    return withRepairedExpert(checkpoint, cut, plan, documents, workFolder, this.#job, write);
  }

  /** Writes the expert, and measures it in its folder before that is moved to its place. */
  #write(ready: ReadyExpert, dense: PerplexityByDimension): Promise<WrittenExpert> {
    const { checkpoint, options, rehearsed, tokenizer, corpora } = this.#prepared;
    const { out, overwrite, maxShardBytes, formats, type, onnxType, measure = true } = options;
    const { dtype } = rehearsed.extras;
    const measureWritten = async (folder: string): Promise<PerplexityByDimension> =>
      measure ? measureExpert(folder, corpora, ready.plan.vocabulary === undefined ? null : tokenizer, this.#job) : {};
    return writeExpert(
      options.model,
      checkpoint,
      ready,
      defined({ out, overwrite, maxShardBytes, dtype, formats, type, onnxType }),
      { corpora, dense, measure: measureWritten },
      this.#job,
    );
  }
}
