/**
 * @file Memory as a step: the memory that every stage of a run will need, planned before the first of them begins.
 * Source: docs/architecture.md, "Memory".
 */

import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Corpus, TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import type { MemoryReport } from "../report/report.ts";
import type { MapChange } from "../model/block-energies.ts";
import { planBatches } from "../model/batches.ts";
import { keptStatesBytes } from "../model/kept-states.ts";
import { defaultMemoryLimit, planMemory, readsMaps, type MemoryPlan, type MemoryRequest } from "../model/memory-plan.ts";
import { uniqueDocuments } from "../scoring/fingerprint.ts";
import type { RelevanceKind } from "../model/units.ts";
import { trialTexts } from "./trial-step.ts";

/** The stages of a run. */
export interface PlannedStages {
  /** Null if nothing is scored. */
  readonly scoring: {
    readonly kinds: readonly RelevanceKind[];
    readonly mapChange: MapChange;
    readonly vocabulary: boolean;
  } | null;
  /** Most trial cuts. */
  readonly trials: number;
  /** Sizes of the cut layers; null if nothing is repaired. */
  readonly repairing: Pick<ModelConfig, "layerSizes"> | null;
  /** Whether repair takes the documents that were scored, and no others. */
  readonly repairsScored: boolean;
  readonly measuring: boolean;
  readonly writing: boolean;
}

/** The stages of a run that does nothing. */
export const NO_STAGES: PlannedStages = {
  scoring: null,
  trials: 0,
  repairing: null,
  repairsScored: false,
  measuring: false,
  writing: false,
};

/**
 * Plans all stages of a run, and reports the largest need as the first progress event.
 * @throws CusprunError `MEMORY_LIMIT` if a stage cannot run within the limit.
 */
export function planRun(config: ModelConfig, corpora: readonly Corpus[], stages: PlannedStages, job: JobOptions): MemoryReport {
  const { memoryLimit: limitBytes = defaultMemoryLimit(), onProgress } = job;
  const lengthsOf = (documents: readonly TokenDocument[]): number[] => documents.map(({ tokens }) => tokens.length);
  const calibration = lengthsOf(corpora.flatMap((corpus) => corpus.calibration));
  const heldOut = lengthsOf(corpora.flatMap((corpus) => corpus.heldOut));
  const requests: MemoryRequest[] = [];
  if (stages.scoring !== null) requests.push({ stage: "scoring", config, lengths: calibration, ...stages.scoring });
  const { trials, repairing: expert } = stages;
  const repairs = expert !== null;
  if (trials > 0) {
    const tried = lengthsOf(trialTexts(corpora, repairs).flatMap(({ documents }) => documents));
    requests.push({ stage: "trying cuts", config, lengths: tried, trials, repairs });
  }
  if (expert !== null) requests.push({ stage: "repairing", config, lengths: calibration, expert });
  if (stages.measuring && heldOut.length > 0) requests.push({ stage: "measuring", config, lengths: heldOut });
  if (stages.writing) requests.push({ stage: "writing", config, lengths: [] });
  const plans = requests.map((request) => planMemory(request, limitBytes));
  const kept = keptBytes(config, uniqueDocuments(corpora.flatMap((corpus) => corpus.calibration)), stages, plans, limitBytes);
  const withKept = plans.map((plan) => (plan.stage === "writing" ? plan : { ...plan, peakBytes: plan.peakBytes + kept }));
  const done = Math.max(0, ...withKept.map(({ peakBytes }) => peakBytes));
  onProgress?.({ stage: "memory at most", done, total: limitBytes, unit: "bytes" });
  return { limitBytes, keptStatesBytes: kept, stages: withKept };
}

/**
 * Bytes of the hidden states that scoring keeps for repair; 0 if they do not fit, or if repair would compute others: on
 * other documents or batches, or with another attention than scoring, which needs the maps for some kinds.
 */
function keptBytes(
  config: ModelConfig,
  documents: readonly TokenDocument[],
  { scoring, repairing, repairsScored }: PlannedStages,
  plans: readonly MemoryPlan[],
  limit: number,
): number {
  if (scoring === null || repairing === null || !repairsScored || readsMaps(scoring.kinds)) return 0;
  const planOf = (stage: MemoryPlan["stage"]): MemoryPlan => plans.find((plan) => plan.stage === stage)!;
  if (planOf("scoring").batchTokens !== planOf("repairing").batchTokens) return 0;
  const batches = planBatches(
    documents.map(({ tokens }) => tokens.length),
    planOf("scoring").batchTokens,
  );
  const tokens = batches.reduce((sum, { documents: rows, length }) => sum + rows.length * length, 0);
  const bytes = keptStatesBytes(tokens, config.hiddenSize, config.numHiddenLayers);
  return plans.every(({ spills, peakBytes }) => !spills && peakBytes + bytes <= limit) ? bytes : 0;
}
