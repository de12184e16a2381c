/**
 * @file The expensive steps of a comparison: the preparation that the runs of a seed share, a run, and the evaluation
 * of a model.
 */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { CorpusStamps } from "../corpora/corpus-stamps.ts";
import type { Corpus } from "../corpora/corpus.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import { summarizeTask, type TaskResult } from "../evaluation/summarize-task.ts";
import type { Task } from "../evaluation/task-file.ts";
import type { JobOptions } from "../progress.ts";
import type { MethodRun } from "../report/method-comparison.ts";
import type { RelevanceKind } from "../model/units.ts";
import type { VocabularyFacts } from "../scoring/token-relevance.ts";
import { mayTrim } from "../selection/selection-options.ts";
import { EXPERTS_FOLDER } from "./comparison-file.ts";
import { expertFolderName, type CompareOptions, type PlannedExpert, type PlannedRun } from "./comparison-plan.ts";
import { defined } from "./defined.ts";
import { scoreTasks } from "./evaluate.ts";
import { jobOptions } from "./job-options.ts";
import { measureDense } from "./measure-step.ts";
import { withPeakMemory } from "./peak-memory.ts";
import { pruneModel } from "./prune.ts";
import { ensureScores } from "./scoring-step.ts";
import { scoredKinds } from "./selection-step.ts";
import { gatherVocabulary } from "./vocabulary-step.ts";
import { openWorkFolder } from "./work-folder.ts";
import { withWorkFolder } from "./work-use.ts";

/** A requested run, with the fingerprint that distinguishes it from others. */
export interface WantedRun extends PlannedRun {
  readonly fingerprint: string;
}

/** The parts of a call that every step needs. */
export interface Session {
  readonly options: CompareOptions;
  readonly checkpoint: Checkpoint;
  readonly tokenizer: Tokenizer;
  readonly tasks: readonly Task[];
  readonly corpora: ReadonlyMap<number, readonly Corpus[]>;
  readonly stamps: CorpusStamps;
}

/**
 * Scores for all methods at once, and measures the dense model. Everything that the runs of a seed share is made before
 * the first of them, so that no run's time includes it.
 */
export async function prepareSeed(
  session: Session,
  wanted: readonly PlannedExpert[],
  seed: number,
  prefix: string,
): Promise<void> {
  const { options, checkpoint, corpora } = session;
  const job = jobOf(options, prefix);
  const documents = corpora.get(seed)!;
  const workFolder = await openWorkFolder(checkpoint, options.work, job);
  const vocabulary = await sharedVocabulary(session, wanted, seed, job);
  const request = { kinds: sharedKinds(checkpoint.config, wanted), mapChange: "first-order", vocabulary } as const;
  await withWorkFolder(workFolder, options.model, checkpoint, options.work, job, async () => {
    const { scores } = await ensureScores(checkpoint, documents, request, workFolder, job);
    await scores.close();
    await measureDense(checkpoint, documents, workFolder, job);
  });
}

/** The facts that tokens are scored from for all experts at once; null if none may lose tokens. */
export async function sharedVocabulary(
  { options, checkpoint, tokenizer, corpora, stamps }: Session,
  wanted: readonly PlannedExpert[],
  seed: number,
  job: JobOptions,
): Promise<VocabularyFacts | null> {
  const trimming = wanted.find(({ choice }) => mayTrim(choice))?.choice;
  if (trimming === undefined) return null;
  return gatherVocabulary(checkpoint, options.corpora, corpora.get(seed)!, tokenizer, trimming, [], { ...job, stamps });
}

/** The relevances that are scored for all experts at once. */
export function sharedKinds(config: ModelConfig, experts: readonly PlannedExpert[]): readonly RelevanceKind[] {
  return [...new Set(experts.flatMap(({ variant, choice }) => scoredKinds(config, choice, variant.method)))];
}

/** Makes one expert, measures it, and removes it unless the experts are kept. */
export async function makeRun(session: Session, run: WantedRun, prefix: string): Promise<MethodRun> {
  const { options } = session;
  const { variant, budget, choice, repair, seed, fingerprint } = run;
  const expert = `${EXPERTS_FOLDER}/${expertFolderName(run)}`;
  const folder = join(options.out, expert);
  const { model, corpora, work, keep = false } = options;
  let isMade = false;
  let isKept = false;
  try {
    const { result: report, peakBytes } = await withPeakMemory(() =>
      pruneModel({
        ...jobOf(options, prefix),
        ...defined({ repair, work, generalShare: variant.generalShare }),
        model,
        corpora,
        corpusOptions: { ...options.corpusOptions, seed },
        selection: choice,
        method: variant.method,
        out: folder,
        overwrite: true,
      }),
    );
    isMade = true;
    // The run has read the corpora for itself.
    await session.stamps.checkAll();
    const tasks = await measureOnTasks(session, folder, "evaluating the expert", prefix);
    isKept = keep;
    const { parameters, units, vocabulary, dimensions, elapsedMs } = report;
    return {
      method: variant.name,
      budget,
      seed,
      fingerprint,
      repaired: report.repair !== null,
      parameters,
      units,
      vocabulary,
      dimensions,
      tasks,
      elapsedMs,
      peakBytes,
      expert: keep ? expert : null,
    };
  } finally {
    if (isMade && !isKept) await rm(folder, { recursive: true, force: true });
  }
}

/** Measures a model on the evaluation files. */
export async function measureOnTasks(
  { options, tasks }: Session,
  model: string,
  stage: string,
  prefix: string,
): Promise<readonly TaskResult[]> {
  if (tasks.length === 0) return [];
  const settings = { ...jobOf(options, prefix), ...defined({ maxTokens: options.maxTokens }) };
  const scores = await scoreTasks(model, tasks, stage, settings);
  return tasks.map((task, index) => summarizeTask(task, scores[index]!, null));
}

/** The job options of a step; `prefix` is put before the names of its stages in progress events. */
export function jobOf(options: CompareOptions, prefix = ""): JobOptions {
  const { onProgress, ...job } = jobOptions(options);
  if (onProgress === undefined) return job;
  return { ...job, onProgress: (event) => onProgress({ ...event, stage: `${prefix}${event.stage}` }) };
}
