/**
 * @file Methods side by side: one model, the same documents, budgets and evaluation for all. Every finished run is in the folder at once, so that an
 * interrupted comparison goes on where it stopped, and later calls add methods, budgets and seeds.
 */

import { rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Corpus } from "../corpora/corpus.ts";
import { DEFAULT_DOCUMENTS, DEFAULT_HELD_OUT_DOCUMENTS, DEFAULT_MAX_TOKENS, loadCorpora } from "../corpora/load.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import { CusprunError } from "../errors.ts";
import { summarizeTask, type TaskResult } from "../evaluation/summarize-task.ts";
import { readTasks, type Task } from "../evaluation/task-file.ts";
import type { JobOptions } from "../progress.ts";
import {
  COMPARISON_FORMAT,
  type ComparisonSettings,
  type MethodComparison,
  type MethodRun,
} from "../report/method-comparison.ts";
import { checkpointFingerprint, documentFingerprint } from "../scoring/fingerprint.ts";
import { METHODS } from "../selection/methods/index.ts";
import {
  checkSettings,
  clearComparison,
  digestOf,
  EXPERTS_FOLDER,
  readComparison,
  RESULTS_FILE,
  writeComparison,
} from "./comparison-file.ts";
import {
  budgetKey,
  expertFolderName,
  planExperts,
  planSeeds,
  runFingerprint,
  runKey,
  runName,
  type CompareOptions,
  type PlannedExpert,
  type PlannedRun,
} from "./comparison-plan.ts";
import { defined } from "./defined.ts";
import { scoreTasks } from "./evaluate.ts";
import { measureDense } from "./measure-step.ts";
import { openTokenizer, withModel } from "./model.ts";
import { chosenDimensions, pruneModel, rehearsePrune } from "./prune.ts";
import { ensureScores } from "./scoring-step.ts";
import { neededKinds } from "./selection-step.ts";
import { cusprunVersion } from "./version.ts";
import { gatherVocabulary, mayTrim } from "./vocabulary-step.ts";
import { defaultWorkRoot, openWorkFolder } from "./work-folder.ts";
import { checkExpertFolder } from "./writing-step.ts";

/** What a call found, with what earlier calls had. */
export interface ComparisonReport extends MethodComparison {
  /** Folder of the results. */
  readonly out: string;
  /** Names of the files in it, without the experts. */
  readonly files: readonly string[];
  /** Runs that this call made, and those that it wanted and were there. */
  readonly made: number;
  readonly reused: number;
}

/** A run that is wanted, with what it is told from others by. */
interface WantedRun extends PlannedRun {
  readonly fingerprint: string;
}

/** What every step of a call needs. */
interface Session {
  readonly options: CompareOptions;
  readonly checkpoint: Checkpoint;
  readonly tokenizer: Tokenizer;
  readonly tasks: readonly Task[];
  readonly corpora: ReadonlyMap<number, readonly Corpus[]>;
}

/**
 * Makes an expert with every method at every budget and seed, measures it, and keeps the figures.
 * @throws CusprunError `OUTPUT_EXISTS` where the folder holds something else or runs under other settings, `USAGE` without a method, budget or corpus,
 *   and what `readTasks`, `loadCorpora`, `pruneModel` and `evaluateModel` throw; as far as it can be known, before anything expensive. The reason of the
 *   signal, if it aborts; the runs that were finished stay.
 */
export async function compareMethods(options: CompareOptions): Promise<ComparisonReport> {
  const { model, out, overwrite = false } = options;
  const job = jobOf(options);
  const dimensions = chosenDimensions(options.corpora);
  const experts = planExperts(options);
  const seeds = planSeeds(options);
  const known = await readComparison(out, overwrite);
  const tasks = await readTasks(options.tasks ?? [], options.limit);
  return withModel(model, job, async (checkpoint) => {
    await checkExpertFolder({ out: join(out, EXPERTS_FOLDER), overwrite: true }, checkpoint);
    const rehearsed = [];
    for (const { variant, choice, repair } of experts) {
      const settled = defined({ method: variant.method, repair });
      rehearsed.push(await rehearsePrune(checkpoint, dimensions, choice, { out, ...settled }));
    }
    const tokenizer = await openTokenizer(checkpoint);
    const corpora = new Map<number, readonly Corpus[]>();
    for (const seed of seeds)
      corpora.set(seed, await loadCorpora(options.corpora, tokenizer, { ...options.corpusOptions, seed, ...job }));
    const session = { options, checkpoint, tokenizer, tasks, corpora };

    const settings = await settingsOf(session);
    if (known !== null) checkSettings(out, known.settings, settings);
    const wanted = seeds.flatMap((seed) =>
      experts.map((expert): WantedRun => {
        const run = { ...expert, budget: knownBudget(known, expert.budget), seed };
        return { ...run, fingerprint: runFingerprint(run, settings, documentsDigest(corpora.get(seed)!)) };
      }),
    );
    if (known !== null) checkRuns(out, known, wanted);

    if (overwrite) await clearComparison(out);
    const { total, blocks } = rehearsed[0]!.plan.parameters;
    const begun = known ?? {
      format: COMPARISON_FORMAT,
      model,
      settings,
      parameters: { total, blocks },
      dense: { tasks: await measureOnTasks(session, model, "evaluating the dense model", "") },
      runs: [],
    };
    return makeRuns(session, begun, wanted);
  });
}

/** Makes the runs that are missing, one after the other. */
async function makeRuns(session: Session, begun: MethodComparison, wanted: readonly WantedRun[]): Promise<ComparisonReport> {
  const { options, corpora } = session;
  const { out } = options;
  let comparison = begun;
  let files = await writeComparison(out, comparison);
  let made = 0;
  const prepared = new Set<number>();
  try {
    for (const [index, run] of wanted.entries()) {
      const known = comparison.runs.find((candidate) => candidate.fingerprint === run.fingerprint);
      if (known !== undefined && (await hasWhatIsKept(known, options))) continue;
      if (!prepared.has(run.seed)) await prepareSeed(session, wanted, run.seed, corpora.size > 1 ? `seed ${run.seed}: ` : "");
      prepared.add(run.seed);
      const prefix = `${index + 1}/${wanted.length} ${runName(run, corpora.size > 1)}: `;
      const finished = await makeRun(session, run, prefix);
      made += 1;
      comparison = withRun(comparison, known, finished);
      files = await writeComparison(out, comparison);
    }
  } finally {
    // Stays where experts are kept: it is not empty then.
    await rmdir(join(out, EXPERTS_FOLDER)).catch(() => undefined);
  }
  return { ...comparison, out, files, made, reused: wanted.length - made };
}

/** A budget as the results call it, where they have it: however it is written, it is one row. */
function knownBudget(known: MethodComparison | null, budget: string): string {
  return known?.runs.find((run) => budgetKey(run.budget) === budgetKey(budget))?.budget ?? budget;
}

function withRun(comparison: MethodComparison, replaced: MethodRun | undefined, run: MethodRun): MethodComparison {
  return { ...comparison, runs: [...comparison.runs.filter((candidate) => candidate !== replaced), run] };
}

/** Whether the expert of a run is there, where experts are to be kept. */
async function hasWhatIsKept({ expert }: MethodRun, { out, keep = false }: CompareOptions): Promise<boolean> {
  return !keep || (expert !== null && (await stat(join(out, expert)).catch(() => null)) !== null);
}

/**
 * Scores for all methods at once, and the dense model's figures: what all runs of a seed share is there before the first, so that no run's time holds it.
 */
async function prepareSeed(session: Session, wanted: readonly PlannedExpert[], seed: number, prefix: string): Promise<void> {
  const { options, checkpoint, tokenizer, corpora } = session;
  const job = jobOf(options, prefix);
  const documents = corpora.get(seed)!;
  const workFolder = await openWorkFolder(checkpoint, options.work ?? defaultWorkRoot());
  const kinds = wanted.flatMap(({ variant, choice }) => [
    ...neededKinds(checkpoint.config, choice),
    ...(METHODS[variant.method].scores ?? []),
  ]);
  const trimming = wanted.find(({ choice }) => mayTrim(choice))?.choice;
  const vocabulary =
    trimming === undefined ? null : await gatherVocabulary(checkpoint, options.corpora, documents, tokenizer, trimming, [], job);
  const request = { kinds: [...new Set(kinds)], mapChange: "first-order", vocabulary } as const;
  const { scores } = await ensureScores(checkpoint, documents, request, workFolder, job);
  await scores.close();
  await measureDense(checkpoint, documents, workFolder, job);
}

async function makeRun(session: Session, run: WantedRun, prefix: string): Promise<MethodRun> {
  const { options } = session;
  const { variant, budget, choice, repair, seed, fingerprint } = run;
  const expert = `${EXPERTS_FOLDER}/${expertFolderName(run)}`;
  const folder = join(options.out, expert);
  const { model, corpora, work, keep = false } = options;
  let isKept = false;
  try {
    const report = await pruneModel({
      ...jobOf(options, prefix),
      ...defined({ repair, work, generalShare: variant.generalShare }),
      model,
      corpora,
      corpusOptions: { ...options.corpusOptions, seed },
      selection: choice,
      method: variant.method,
      out: folder,
      overwrite: true,
    });
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
      expert: keep ? expert : null,
    };
  } finally {
    if (!isKept) await rm(folder, { recursive: true, force: true });
  }
}

async function measureOnTasks(
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

async function settingsOf({ options, checkpoint, tasks, corpora }: Session): Promise<ComparisonSettings> {
  const { corpusOptions: { documents, heldOutDocuments, maxTokens } = {}, selection, repair } = options;
  const [anySeed = []] = corpora.values();
  return {
    cusprun: cusprunVersion(),
    model: await checkpointFingerprint(checkpoint),
    corpora: Object.fromEntries(anySeed.map(({ dimension, label }) => [dimension, label])),
    documents: documents ?? DEFAULT_DOCUMENTS,
    heldOutDocuments: heldOutDocuments ?? DEFAULT_HELD_OUT_DOCUMENTS,
    maxTokens: maxTokens ?? DEFAULT_MAX_TOKENS,
    selection: { layout: "uniform", ...selection },
    repair: repair ?? null,
    tasks: tasks.map(({ name, items }) => ({
      name,
      items: items.length,
      digest: digestOf(items.map((item) => ({ ...item, source: null }))),
    })),
    window: options.maxTokens ?? null,
  };
}

/** SHA-256 of the documents of a seed. */
function documentsDigest(corpora: readonly Corpus[]): string {
  return digestOf(
    corpora.map(({ dimension, calibration, heldOut }) => [
      dimension,
      calibration.map(documentFingerprint),
      heldOut.map(documentFingerprint),
    ]),
  );
}

/**
 * Checks that a run that is there under the same name is the same.
 * @throws CusprunError `OUTPUT_EXISTS`.
 */
function checkRuns(out: string, known: MethodComparison, wanted: readonly WantedRun[]): void {
  const fingerprints = new Map(known.runs.map((run) => [runKey(run), run.fingerprint]));
  for (const { variant, budget, seed, fingerprint } of wanted) {
    const there = fingerprints.get(runKey({ method: variant.name, budget, seed }));
    if (there === undefined || there === fingerprint) continue;
    throw new CusprunError("OUTPUT_EXISTS", {
      where: join(out, RESULTS_FILE),
      found: `a run of ${variant.name} at ${budget}, seed ${seed}, on other documents or with other settings of the method`,
      expected: "the same corpora and methods as before",
      remedy: "Choose another --out, or pass --overwrite to begin anew",
    });
  }
}

/** Progress of all steps of a call, told apart by what stands before the stage. */
function jobOf({ onProgress, signal }: CompareOptions, prefix = ""): JobOptions {
  return defined({
    signal,
    onProgress:
      onProgress === undefined
        ? undefined
        : (event: Parameters<typeof onProgress>[0]) => onProgress({ ...event, stage: `${prefix}${event.stage}` }),
  });
}
