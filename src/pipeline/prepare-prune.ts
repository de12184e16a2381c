/**
 * @file A run before its first expensive stage: everything that can be refused is refused, the corpora are read and the
 * memory is planned.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { CorpusStamps } from "../corpora/corpus-stamps.ts";
import type { Dimension, LoadedCorpus } from "../corpora/corpus.ts";
import { fitToPositions, loadCorpora, type CorpusOptions, type CorpusSpecs } from "../corpora/load.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import { removeFolders } from "../folders.ts";
import type { MapChange } from "../model/block-energies.ts";
import type { OutputPlace } from "../output-place.ts";
import type { JobOptions, StageTime } from "../progress.ts";
import type { MemoryReport } from "../report/report.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { METHODS, type MethodName } from "../selection/methods/index.ts";
import type { PlannedCut } from "../selection/plan.ts";
import { mayTrim, type SelectionOptions } from "../selection/selection-options.ts";
import type { RepairDocuments } from "../surgery/repair-documents.ts";
import { defined } from "./defined.ts";
import { openedInputs, protectedInputs } from "./inputs.ts";
import { jobOptions } from "./job-options.ts";
import { planRun } from "./memory-step.ts";
import { openTokenizer, withModel } from "./model.ts";
import { rehearsePrune, type RehearsedPrune } from "./rehearse.ts";
import { checkGeneralShare, gatherRepairDocuments } from "./repair-step.ts";
import { chosenDimensions, scoredKinds, withMethod, type SelectionChoice } from "./selection-step.ts";
import { needsTrials } from "./trial-step.ts";
import { gatherVocabulary } from "./vocabulary-step.ts";
import { makeWorkFolder, type ScoringRequest } from "./work-folder.ts";
import { withExpertFolder, type WriteOptions } from "./writing-step.ts";

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
  /**
   * Receives the stages with the times that they will take on this machine, in order, once before the first of them
   * begins. If given, progress events have `run`. The machine's speed is measured for a second or two, once a day.
   */
  readonly onPlan?: (stages: readonly StageTime[]) => void;
}

/** The parts of a run that are fixed before its first expensive stage. */
export interface PreparedPrune {
  readonly checkpoint: Checkpoint;
  readonly options: PruneOptions;
  readonly method: MethodName;
  readonly dimensions: readonly Dimension[];
  readonly rehearsed: RehearsedPrune;
  readonly tokenizer: Tokenizer;
  readonly corpora: readonly LoadedCorpus[];
  readonly memory: MemoryReport;
  /** Everything that is scored. */
  readonly request: ScoringRequest;
  readonly workFolder: string;
  /** The work folder and its parents, as far as this run made them, outermost first. */
  readonly madeFolders: readonly string[];
  /** Where the expert will be. */
  readonly place: OutputPlace;
}

/**
 * Prepares a run, and does the rest while its place is reserved and its model open.
 * @throws CusprunError what `pruneModel` throws before its first stage.
 */
export function withPreparedPrune<T>(options: PruneOptions, work: (prepared: PreparedPrune) => Promise<T>): Promise<T> {
  if (options.generalShare !== undefined) checkGeneralShare(options.generalShare);
  const dimensions = chosenDimensions(options.corpora);
  const choice = withMethod(options.selection, options.method ?? "cusprun");
  return withExpertFolder(options, protectedInputs(options), (place) =>
    withModel(options.model, jobOptions(options), async (checkpoint) => {
      await place.protect(openedInputs(checkpoint, null));
      return work(await prepare(checkpoint, dimensions, choice, options, place));
    }),
  );
}

/** Refuses what cannot be done, reads the corpora and plans the memory. */
async function prepare(
  checkpoint: Checkpoint,
  dimensions: readonly Dimension[],
  choice: SelectionChoice,
  options: PruneOptions,
  place: OutputPlace,
): Promise<PreparedPrune> {
  const { method = "cusprun", mapChange = "first-order", measure = true, vocabularyCorpus = [] } = options;
  const { config } = checkpoint;
  const corpusOptions = fitToPositions(options.corpusOptions, config.maxPositionEmbeddings);
  const job = jobOptions(options);
  const reading = { ...job, stamps: new CorpusStamps() };
  const rehearsed = await rehearsePrune(checkpoint, dimensions, choice, options);
  const tokenizer = await openTokenizer(checkpoint);
  const corpora = await loadCorpora(options.corpora, tokenizer, { ...corpusOptions, ...reading });
  const kinds = scoredKinds(config, choice, method);
  const memory = planRun(
    config,
    corpora,
    {
      scoring: { kinds, mapChange, vocabulary: mayTrim(choice) },
      trials: needsTrials(rehearsed.selection) ? config.numHiddenLayers * kinds.length : 0,
      repairing: rehearsed.repaired,
      repairsScored: (options.generalShare ?? 0) === 0,
      measuring: measure,
      writing: true,
    },
    job,
  );
  const { path: workFolder, made: madeFolders } = await makeWorkFolder(checkpoint, options.work, job);
  try {
    await place.protect(openedInputs(checkpoint, workFolder));
    const specs = options.corpora;
    const vocabulary = await gatherVocabulary(checkpoint, specs, corpora, tokenizer, choice, vocabularyCorpus, reading);
    const request = { kinds, mapChange, vocabulary };
    return {
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
      madeFolders,
      place,
    };
  } catch (error) {
    await removeFolders(madeFolders);
    throw error;
  }
}

/** What a run selects from and by, with its scores. */
export function choosingOf(
  { checkpoint, options, method, dimensions, rehearsed }: PreparedPrune,
  scores: RelevanceScores,
  job: JobOptions,
): { readonly relevances: RelevanceScores; readonly choosing: SelectionOptions } {
  return {
    relevances: METHODS[method].relevances(scores, checkpoint, options.corpusOptions?.seed ?? 0),
    choosing: { ...rehearsed.selection, ...rehearsed.extras, ...job, dimensions, method },
  };
}

/** Whether the expert of a plan is repaired: if no unit is removed there is no error to repair. */
export function isToBeRepaired({ rehearsed }: PreparedPrune, { layers }: PlannedCut): boolean {
  return rehearsed.repairing && layers.some(({ cuts }) => Object.keys(cuts).length > 0);
}

/** The documents on which an expert is repaired. */
export function repairDocumentsOf(
  { checkpoint, options, tokenizer, corpora }: PreparedPrune,
  job: JobOptions,
): Promise<RepairDocuments> {
  const { generalShare, corpusOptions } = options;
  const fitted = fitToPositions(corpusOptions, checkpoint.config.maxPositionEmbeddings);
  return gatherRepairDocuments(corpora, tokenizer, defined({ generalShare }), fitted, job);
}

/** Where and how the expert is written. */
export function writeOptionsOf({ options, rehearsed }: PreparedPrune): WriteOptions {
  const { out, overwrite, maxShardBytes, formats, type, onnxType } = options;
  return defined({ out, overwrite, maxShardBytes, dtype: rehearsed.extras.dtype, formats, type, onnxType });
}
