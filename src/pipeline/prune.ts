/**
 * @file The whole way: model + corpora + budget → expert. Everything that can be refused is refused before anything expensive; what an earlier
 * run has finished is not done again.
 * Source: Cus-Prun, arXiv 2506.02561.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { DIMENSIONS, type Corpus, type Dimension } from "../corpora/corpus.ts";
import { loadCorpora, type CorpusOptions, type CorpusSpecs } from "../corpora/load.ts";
import { CusprunError } from "../errors.ts";
import type { Perplexity } from "../evaluation/perplexity.ts";
import { outputDType } from "../export/hugging-face/write-hugging-face.ts";
import type { JobOptions } from "../progress.ts";
import type { DimensionReport, PerplexityFigure, PruneReport } from "../report/report.ts";
import type { MapChange } from "../model/block-energies.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { METHODS, type MethodName } from "../selection/methods/index.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { selectUnits } from "../selection/select.ts";
import { cutExpert } from "../surgery/expert.ts";
import { checkRepair } from "../surgery/repair.ts";
import type { FloatDType } from "../tensor.ts";
import { defined } from "./defined.ts";
import { measureDense, measureExpert, type PerplexityByDimension } from "./measure-step.ts";
import { jobOptions } from "./job-options.ts";
import { planRun } from "./memory-step.ts";
import { preferredSnap } from "./preferred-snap.ts";
import { modelExtras, openTokenizer, withModel, type ModelExtras } from "./model.ts";
import { checkGeneralShare, gatherRepairDocuments, withRepairedExpert } from "./repair-step.ts";
import { ensureScores } from "./scoring-step.ts";
import { dropsLayers, rehearseSelection, scoredKinds, withMethod, type SelectionChoice } from "./selection-step.ts";
import { countTokensOf, countUnits } from "./unit-report.ts";
import { ensureTrials, needsTrials } from "./trial-step.ts";
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

/** What an expert is made from, and where it goes. */
export interface PruneOptions extends WriteOptions, JobOptions {
  /** A folder, a GGUF file, a name of the catalogue, or `owner/name` on the hub. */
  readonly model: string;
  /** The expert's place: presets and files of one, two or three dimensions. */
  readonly corpora: CorpusSpecs;
  readonly corpusOptions?: CorpusOptions;
  readonly selection: SelectionChoice;
  /** The rule that chooses what goes, with its own defaults. Default `cusprun`. */
  readonly method?: MethodName;
  /** Further text, paths as corpora are given, whose tokens count for the first dimension when the vocabulary is chosen. */
  readonly vocabularyCorpus?: readonly string[];
  /** How relevances of rotary pairs and of rows of q and k are computed. Default: `first-order`. */
  readonly mapChange?: MapChange;
  /**
   * Whether the weights that stay are fitted anew on the documents that chose, so that the expert follows the dense model again. Default: where
   * the method repairs and the family allows it, but not for `granularity: matrix`, which is the paper's as it stands, nor for whole layers.
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
 * @throws CusprunError `USAGE` without a corpus; `OUTPUT_EXISTS`; `MEMORY_LIMIT`; what `resolveModel`, `openCheckpoint`, `loadCorpora`, `selectUnits` and
 *   `writeExpert` throw. The reason of the signal, if it aborts; nothing half-made is left then.
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
  const { out, overwrite, maxShardBytes, generalShare } = options;
  if (generalShare !== undefined) checkGeneralShare(generalShare);
  const job = jobOptions(options);
  const dimensions = chosenDimensions(options.corpora);
  const method = options.method ?? "cusprun";
  const choice = withMethod(options.selection, method);
  await checkExpertFolder(options, null);
  return withModel(options.model, job, async (checkpoint) => {
    await checkExpertFolder(options, checkpoint);
    const { config } = checkpoint;
    const { selection, extras, repairing, repaired } = await rehearsePrune(checkpoint, dimensions, choice, options);
    const { dtype } = extras;

    const tokenizer = await openTokenizer(checkpoint);
    const corpora = await loadCorpora(options.corpora, tokenizer, { ...options.corpusOptions, ...job });
    const kinds = scoredKinds(config, choice, method);
    const mapChange = options.mapChange ?? "first-order";
    const measuring = options.measure ?? true;
    const trials = needsTrials({ ...selection, ...extras, dimensions, method }) ? config.numHiddenLayers * kinds.length : 0;
    const scoring = { kinds, mapChange, vocabulary: mayTrim(choice) };
    const memory = planRun(config, corpora, { scoring, trials, repairing: repaired, measuring, writing: true }, job);
    const moreText = options.vocabularyCorpus ?? [];
    const workFolder = await openWorkFolder(checkpoint, options.work ?? defaultWorkRoot());
    const request = {
      kinds,
      mapChange,
      vocabulary: await gatherVocabulary(checkpoint, options.corpora, corpora, tokenizer, choice, moreText, job),
    };
    const ready = await ensureScores(checkpoint, corpora, request, workFolder, job);
    const plan = await selectAndClose(ready.scores, async () => {
      const relevances = METHODS[method].relevances(ready.scores, checkpoint, options.corpusOptions?.seed ?? 0);
      const choosing = { ...selection, ...extras, ...job, dimensions, method };
      if (!needsTrials(choosing)) return selectUnits(relevances, choosing);
      return selectUnits(relevances, {
        ...choosing,
        trials: await ensureTrials(checkpoint, corpora, relevances, choosing, repairing, workFolder, job),
      });
    });

    // Which layers go, and so whether those that slide still follow a period, is known only now.
    if (dropsLayers(choice)) await checkExpertFormats(options, checkpoint, plan);
    const dense = measuring ? await measureDense(checkpoint, corpora, workFolder, job) : {};
    const measure = async (folder: string): Promise<PerplexityByDimension> =>
      measuring ? measureExpert(folder, corpora, plan.vocabulary === undefined ? null : tokenizer, job) : {};
    const where = defined({
      out,
      overwrite,
      maxShardBytes,
      dtype,
      formats: options.formats,
      type: options.type,
      onnxType: options.onnxType,
    });
    const cut = cutExpert(checkpoint, plan);
    const write = (expert: ReadyExpert): Promise<WrittenExpert> =>
      writeExpert(options.model, checkpoint, expert, where, { corpora, dense, measure }, job);
    const repairTexts = (): ReturnType<typeof gatherRepairDocuments> =>
      gatherRepairDocuments(corpora, tokenizer, defined({ generalShare }), options.corpusOptions ?? {}, job);
    // Without units that go there is no error to repair.
    const written =
      repairing && plan.layers.some(({ cuts }) => Object.keys(cuts).length > 0)
        ? await withRepairedExpert(checkpoint, cut, plan, await repairTexts(), workFolder, job, write)
        : await write({ plan, expert: cut, repair: null });
    return {
      ...describeRun(options, checkpoint, plan, written),
      repair: written.repair,
      dimensions: corpora.map((corpus) => describeDimension(corpus, dense, written.figures)),
      scores: { path: ready.path, reused: ready.reused },
      memory,
      elapsedMs: Math.round(performance.now() - startedAtMs),
    };
  });
}

/** What a run will do with a model, settled and rehearsed. */
export interface RehearsedPrune {
  /** The choice with everything that the model and the formats decide. */
  readonly selection: SelectionChoice;
  readonly extras: ModelExtras & { readonly dtype: FloatDType };
  readonly repairing: boolean;
  /** Sizes of the layers that are repaired, as far as they are known; null where none is. */
  readonly repaired: Pick<ModelConfig, "layerSizes"> | null;
  /** Of the sizes that the expert will have; which units go is made up. */
  readonly plan: PrunePlan;
}

/**
 * Settles what a run will do with an opened model, and tries it on made-up relevances: what cannot be met is refused here.
 * @param choice with the method's defaults.
 * @throws CusprunError what `checkRepair`, `rehearseSelection` and `checkExpertFormats` throw.
 */
export async function rehearsePrune(
  checkpoint: Checkpoint,
  dimensions: readonly Dimension[],
  choice: SelectionChoice,
  options: WriteOptions & Pick<PruneOptions, "method" | "repair">,
): Promise<RehearsedPrune> {
  const { config } = checkpoint;
  const extras = { ...modelExtras(checkpoint), dtype: options.dtype ?? outputDType(checkpoint.tensors.values()) };
  const snap = choice.snap ?? preferredSnap(checkpoint, options);
  const selection = { ...choice, ...(snap !== null && { snap }) };
  const structural = (choice.granularity ?? "structural") === "structural";
  const { defaults } = METHODS[options.method ?? "cusprun"];
  const repairing = options.repair ?? (defaults.repair && structural && !dropsLayers(choice));
  const plan = await rehearseSelection(config, dimensions, selection, extras);
  if (repairing) checkRepair(plan);
  await checkExpertFormats(options, checkpoint, plan);
  // Layers of unlike size are not known yet: one may stay whole.
  const sizes = plan.layout === "uniform" ? cutExpert(checkpoint, plan).config : config;
  return { selection, extras, repairing, repaired: repairing ? sizes : null, plan };
}

/**
 * The dimensions that have a corpus, in the fixed order.
 * @throws CusprunError `USAGE` where none has.
 */
export function chosenDimensions(specs: CorpusSpecs): readonly Dimension[] {
  const chosen = DIMENSIONS.filter((dimension) => (specs[dimension] ?? []).length > 0);
  if (chosen.length > 0) return chosen;
  throw new CusprunError("USAGE", {
    where: "corpora",
    found: "none",
    expected: "one of a language, a domain or a task at least",
    remedy: "Add, for example, --language en",
  });
}

async function selectAndClose(scores: RelevanceScores, work: () => Promise<PrunePlan>): Promise<PrunePlan> {
  try {
    return await work();
  } finally {
    await scores.close();
  }
}

function describeRun(
  { model, out }: PruneOptions,
  { config, tensors }: Checkpoint,
  plan: PrunePlan,
  written: WrittenExpert,
): Omit<PruneReport, "dimensions" | "repair" | "scores" | "memory" | "elapsedMs"> {
  const stored = [...tensors.values()];
  return {
    model,
    family: config.family,
    layers: config.numHiddenLayers,
    layout: plan.layout,
    granularity: plan.granularity,
    budget: plan.budget,
    parameters: { before: plan.parameters.total, after: written.parameters, removed: plan.parameters.removed },
    input: {
      bytes: stored.reduce((sum, { byteLength }) => sum + byteLength, 0),
      dtypes: [...new Set(stored.toSorted((a, b) => b.byteLength - a.byteLength).map(({ dtype }) => dtype))],
    },
    written: written.parts.map(({ format, label, bytes, files }) => ({ format, label, ...bytes, files })),
    units: countUnits(plan, config),
    vocabulary: countTokensOf(plan),
    overlap: plan.overlap,
    out,
  };
}

function describeDimension(corpus: Corpus, dense: PerplexityByDimension, expert: PerplexityByDimension): DimensionReport {
  const { dimension, label, calibration, heldOut } = corpus;
  return {
    dimension,
    label,
    calibrationDocuments: calibration.length,
    heldOutDocuments: heldOut.length,
    dense: figureOf(dense[dimension]),
    expert: figureOf(expert[dimension]),
  };
}

function figureOf(measured: Perplexity | undefined): PerplexityFigure | null {
  if (measured === undefined) return null;
  const { perplexity, bitsPerByte, tokenCount } = measured;
  return { perplexity, bitsPerByte, tokenCount };
}
