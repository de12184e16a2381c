/**
 * @file The whole run: model + corpora + budget → expert. Everything that can be refused is refused before anything
 * expensive, and the results of earlier runs are reused.
 * Source: Cus-Prun, arXiv 2506.02561.
 */

import { KeptStates } from "../model/kept-states.ts";
import type { JobOptions } from "../progress.ts";
import type { PruneReport } from "../report/report.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { selectUnits } from "../selection/select.ts";
import { cutExpert, type Expert } from "../surgery/expert.ts";
import { defined } from "./defined.ts";
import { jobOptions } from "./job-options.ts";
import { measureDense, measureExpert, type PerplexityByDimension } from "./measure-step.ts";
import {
  choosingOf,
  isToBeRepaired,
  type PreparedPrune,
  type PruneOptions,
  repairDocumentsOf,
  withPreparedPrune,
  writeOptionsOf,
} from "./prepare-prune.ts";
import { reportPrune } from "./prune-report.ts";
import { planStages } from "./prune-stages.ts";
import { withRepairedExpert } from "./repair-step.ts";
import { withRunProgress } from "./run-progress.ts";
import { ensureScores, type ReadyScores } from "./scoring-step.ts";
import { dropsLayers } from "./selection-step.ts";
import { ensureTrials, needsTrials } from "./trial-step.ts";
import { withWorkFolder } from "./work-use.ts";
import { checkExpertFormats, writeExpert, type ReadyExpert, type WrittenExpert } from "./writing-step.ts";

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
  return withPreparedPrune(options, async (prepared) => {
    const { workFolder, checkpoint } = prepared;
    const run = async (): Promise<Omit<PruneReport, "elapsedMs">> => (await PruneRun.plan(prepared)).make();
    const report = await withWorkFolder(workFolder, options.model, checkpoint, options.work, jobOptions(options), run);
    return { ...report, elapsedMs: Math.round(performance.now() - startedAtMs) };
  });
}

/** One run on an opened model, stage by stage. */
class PruneRun {
  readonly #prepared: PreparedPrune;
  readonly #job: JobOptions;
  /** States that scoring keeps for repair; null if they do not fit. */
  readonly #kept: KeptStates | null;

  private constructor(prepared: PreparedPrune, job: JobOptions) {
    this.#prepared = prepared;
    this.#kept = prepared.memory.keptStatesBytes > 0 ? new KeptStates() : null;
    this.#job = job;
  }

  /** Tells the run's stages and their times, if anyone listens. */
  static async plan(prepared: PreparedPrune): Promise<PruneRun> {
    const { onPlan } = prepared.options;
    const job = jobOptions(prepared.options);
    if (onPlan === undefined) return new PruneRun(prepared, job);
    const { stages } = await planStages(prepared, true, job);
    onPlan(stages);
    return new PruneRun(prepared, {
      ...job,
      ...defined({ onProgress: job.onProgress && withRunProgress(stages, job.onProgress) }),
    });
  }

  /** Scores, selects, cuts, repairs, writes and measures. */
  async make(): Promise<Omit<PruneReport, "elapsedMs">> {
    try {
      return await this.#make();
    } finally {
      await this.#kept?.close();
    }
  }

  async #make(): Promise<Omit<PruneReport, "elapsedMs">> {
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
    return ensureScores(checkpoint, corpora, request, workFolder, {
      ...this.#job,
      ...defined({ keep: this.#kept ?? undefined }),
    });
  }

  /** Selects by the method's relevances, after trials if the selection needs them; closes the scores. */
  async #select({ scores }: ReadyScores): Promise<PrunePlan> {
    const { checkpoint, rehearsed, corpora, workFolder } = this.#prepared;
    const { selection, repairing } = rehearsed;
    try {
      const { relevances, choosing } = choosingOf(this.#prepared, scores, this.#job);
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
    const { checkpoint, workFolder } = this.#prepared;
    const write = (ready: ReadyExpert): Promise<WrittenExpert> => this.#write(ready, dense);
    if (!isToBeRepaired(this.#prepared, plan)) return write({ plan, expert: cut, repair: null });
    const documents = await repairDocumentsOf(this.#prepared, this.#job);
    const job = { ...this.#job, ...defined({ kept: this.#kept ?? undefined }) };
    return withRepairedExpert(checkpoint, cut, plan, documents, workFolder, job, write);
  }

  /** Writes the expert, and measures it in its folder before that is moved to its place. */
  #write(ready: ReadyExpert, dense: PerplexityByDimension): Promise<WrittenExpert> {
    const { checkpoint, options, tokenizer, corpora, workFolder, place } = this.#prepared;
    const { measure = true } = options;
    const measureWritten = async (folder: string): Promise<PerplexityByDimension> =>
      measure
        ? measureExpert(folder, corpora, ready.plan.vocabulary === undefined ? null : tokenizer, workFolder, this.#job)
        : {};
    return writeExpert(
      options.model,
      checkpoint,
      ready,
      place,
      writeOptionsOf(this.#prepared),
      { corpora, dense, measure: measureWritten },
      this.#job,
    );
  }
}
