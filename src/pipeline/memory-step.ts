/**
 * @file Memory as a step: the memory that every stage of a run will need, planned before the first of them begins.
 * Source: docs/architecture.md, "Memory".
 */

import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Corpus, TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import type { MemoryReport } from "../report/report.ts";
import type { MapChange } from "../model/block-energies.ts";
import { defaultMemoryLimit, planMemory, type MemoryRequest } from "../model/memory-plan.ts";
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
  readonly measuring: boolean;
  readonly writing: boolean;
}

/** The stages of a run that does nothing. */
export const NO_STAGES: PlannedStages = { scoring: null, trials: 0, repairing: null, measuring: false, writing: false };

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
  const done = Math.max(0, ...plans.map(({ peakBytes }) => peakBytes));
  onProgress?.({ stage: "memory at most", done, total: limitBytes, unit: "bytes" });
  return { limitBytes, stages: plans };
}
