/**
 * @file A finished run → its report.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { LoadedCorpus } from "../corpora/corpus.ts";
import { DEFAULT_MAX_TOKENS, type CorpusOptions } from "../corpora/load.ts";
import type { Perplexity } from "../evaluation/perplexity.ts";
import type { DimensionReport, MemoryReport, PerplexityFigure, PruneReport } from "../report/report.ts";
import type { PrunePlan } from "../selection/plan.ts";
import type { PerplexityByDimension } from "./measure-step.ts";
import { countTokensOf, countUnits } from "./unit-report.ts";
import type { WrittenExpert } from "./writing-step.ts";

/** A finished run. */
export interface FinishedPrune {
  /** The model's name as the user wrote it. */
  readonly model: string;
  readonly out: string;
  readonly checkpoint: Checkpoint;
  readonly corpora: readonly LoadedCorpus[];
  /** As the user gave them. */
  readonly corpusOptions: CorpusOptions | undefined;
  readonly scores: PruneReport["scores"];
  readonly plan: PrunePlan;
  /** Perplexities of the dense model. */
  readonly dense: PerplexityByDimension;
  readonly written: WrittenExpert;
  readonly memory: MemoryReport;
}

/** Reports a run, except how long it took. */
export function reportPrune(run: FinishedPrune): Omit<PruneReport, "elapsedMs"> {
  const { model, out, plan, written } = run;
  const { config, tensors } = run.checkpoint;
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
    notes: [...positionNotes(run), ...written.notes],
    out,
    repair: written.repair,
    dimensions: run.corpora.map((corpus) => describeDimension(corpus, run.dense, written.figures)),
    scores: run.scores,
    memory: run.memory,
  };
}

/** Says if documents are shorter than by default because the model has few positions. */
function positionNotes({ checkpoint, corpusOptions }: FinishedPrune): string[] {
  const positions = checkpoint.config.maxPositionEmbeddings;
  const isCut = corpusOptions?.maxTokens === undefined && positions < DEFAULT_MAX_TOKENS;
  return isCut ? [`documents are cut to ${positions} tokens, the model's number of positions`] : [];
}

function describeDimension(corpus: LoadedCorpus, dense: PerplexityByDimension, expert: PerplexityByDimension): DimensionReport {
  const { dimension, label, calibration, heldOut, sources } = corpus;
  return {
    dimension,
    label,
    sources,
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
