/**
 * @file Methods side by side: one model, and the same documents, budgets and evaluation for all. Every run is saved as
 * soon as it is finished, so that an interrupted comparison continues where it stopped, and later calls can add
 * methods, budgets and seeds.
 */

import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { exists } from "../folders.ts";
import { CorpusStamps } from "../corpora/corpus-stamps.ts";
import type { Corpus } from "../corpora/corpus.ts";
import {
  DEFAULT_DOCUMENTS,
  DEFAULT_HELD_OUT_DOCUMENTS,
  DEFAULT_MAX_TOKENS,
  fitToPositions,
  loadCorpora,
} from "../corpora/load.ts";
import { CusprunError } from "../errors.ts";
import { readTasks } from "../evaluation/task-file.ts";
import {
  COMPARISON_FORMAT,
  type ComparisonSettings,
  type MethodComparison,
  type MethodRun,
} from "../report/method-comparison.ts";
import { checkpointFingerprint, documentFingerprint, vocabularyFingerprint } from "../scoring/fingerprint.ts";
import {
  checkSettings,
  clearComparison,
  digestOf,
  EXPERTS_FOLDER,
  readComparison,
  RESULTS_FILE,
  writeComparison,
} from "./comparison-file.ts";
import { budgetKey, planExperts, planSeeds, runFingerprint, runKey, runName, type CompareOptions } from "./comparison-plan.ts";
import {
  jobOf,
  makeRun,
  measureOnTasks,
  prepareSeed,
  sharedKinds,
  sharedVocabulary,
  type Session,
  type WantedRun,
} from "./comparison-runs.ts";
import { defined } from "./defined.ts";
import { openedInputs, protectedInputs } from "./inputs.ts";
import { planRun } from "./memory-step.ts";
import { openTokenizer, withModel } from "./model.ts";
import { rehearsePrune } from "./rehearse.ts";
import { chosenDimensions } from "./selection-step.ts";
import { checkProtected, realPlace } from "../protected-paths.ts";
import { withSharedFolder } from "../shared-folder.ts";
import type { VocabularyFacts } from "../scoring/token-relevance.ts";
import { mayTrim } from "../selection/selection-options.ts";
import { cusprunVersion } from "./version.ts";

/** The results of a call, together with those of earlier calls. */
export interface ComparisonReport extends MethodComparison {
  /** Folder of the results. */
  readonly out: string;
  /** Names of the files in it, without the experts. */
  readonly files: readonly string[];
  /** Requested runs that this call made, and those that earlier calls had made. */
  readonly made: number;
  readonly reused: number;
}

/**
 * Makes an expert with every method at every budget and seed, measures it, and keeps the figures.
 * @throws CusprunError `MEMORY_LIMIT`, `OUTPUT_EXISTS` if the folder holds something else or runs with other settings,
 *   `USAGE` without a method, budget or corpus, and the errors of `readTasks`, `loadCorpora`, `pruneModel` and
 *   `evaluateModel`; if possible, before anything expensive. If the signal aborts, its reason; finished runs are kept.
 * @example
 * ```ts
 * import { compareMethods, renderComparison } from "cusprun";
 *
 * const report = await compareMethods({
 *   model: "smollm2",
 *   corpora: { language: ["en"], domain: ["medical"] },
 *   methods: ["cusprun", "wanda-sp", { name: "cusprun, ragged", method: "cusprun", selection: { layout: "ragged" } }],
 *   budgets: ["15% of blocks", "25% of blocks"],
 *   out: "comparisons/medical", // finished runs are kept here; a later call adds to them
 * });
 * console.log(renderComparison(report));
 * ```
 */
export async function compareMethods(options: CompareOptions): Promise<ComparisonReport> {
  return withSharedFolder(options.out, () => compareInFolder(options));
}

async function compareInFolder(options: CompareOptions): Promise<ComparisonReport> {
  const { model, out, overwrite = false } = options;
  const job = jobOf(options);
  const dimensions = chosenDimensions(options.corpora);
  const experts = planExperts(options);
  const seeds = planSeeds(options);
  const known = await readComparison(out, overwrite);
  const tasks = await readTasks(options.tasks ?? [], options.limit);
  return withModel(model, job, async (checkpoint) => {
    const inputs = [...protectedInputs(options), ...openedInputs(checkpoint, null)];
    await checkProtected(await realPlace(join(out, EXPERTS_FOLDER)), out, inputs, true);
    const rehearsed = [];
    for (const { variant, choice, repair } of experts) {
      const settled = defined({ method: variant.method, repair });
      rehearsed.push(await rehearsePrune(checkpoint, dimensions, choice, { out, ...settled }));
    }
    const tokenizer = await openTokenizer(checkpoint);
    const stamps = new CorpusStamps();
    const corpora = new Map<number, readonly Corpus[]>();
    const corpusOptions = fitToPositions(options.corpusOptions, checkpoint.config.maxPositionEmbeddings);
    for (const seed of seeds)
      corpora.set(seed, await loadCorpora(options.corpora, tokenizer, { ...corpusOptions, seed, ...job, stamps }));
    const scoring = {
      kinds: sharedKinds(checkpoint.config, experts),
      mapChange: "first-order",
      vocabulary: experts.some(({ choice }) => mayTrim(choice)),
    } as const;
    // Each run plans its own trial cuts, and the repair of sizes that are not known yet.
    const repairing = rehearsed.find(({ repaired }) => repaired !== null)?.repaired ?? null;
    const stages = { scoring, trials: 0, repairing, repairsScored: false, measuring: true, writing: true };
    for (const documents of corpora.values()) planRun(checkpoint.config, documents, stages, job);
    const session = { options, checkpoint, tokenizer, tasks, corpora, stamps };

    const settings = await settingsOf(session);
    if (known !== null) checkSettings(out, known.settings, settings);
    const wanted: WantedRun[] = [];
    for (const seed of seeds) {
      // Tokens are counted in all of a corpus, not only in the documents that are drawn from it.
      const vocabulary = await sharedVocabulary(session, experts, seed, job);
      for (const expert of experts) {
        const documents = documentsDigest(corpora.get(seed)!, mayTrim(expert.choice) ? vocabulary : null);
        const run = { ...expert, budget: knownBudget(known, expert.budget), seed };
        wanted.push({ ...run, fingerprint: runFingerprint(run, settings, documents) });
      }
    }
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

/** Makes the missing runs, one after the other. */
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
      if (known !== undefined && (await hasKeptExpert(known, options))) continue;
      if (!prepared.has(run.seed)) await prepareSeed(session, wanted, run.seed, corpora.size > 1 ? `seed ${run.seed}: ` : "");
      prepared.add(run.seed);
      const prefix = `${index + 1}/${wanted.length} ${runName(run, corpora.size > 1)}: `;
      const finished = await makeRun(session, run, prefix);
      made += 1;
      comparison = withRun(comparison, known, finished);
      files = await writeComparison(out, comparison);
    }
  } finally {
    // The folder is not empty, and so is kept, if experts are kept.
    await rmdir(join(out, EXPERTS_FOLDER)).catch(() => undefined);
  }
  return { ...comparison, out, files, made, reused: wanted.length - made };
}

/** A budget in the results' spelling, if they contain it: budgets that mean the same share a row. */
function knownBudget(known: MethodComparison | null, budget: string): string {
  return known?.runs.find((run) => budgetKey(run.budget) === budgetKey(budget))?.budget ?? budget;
}

function withRun(comparison: MethodComparison, replaced: MethodRun | undefined, run: MethodRun): MethodComparison {
  return { ...comparison, runs: [...comparison.runs.filter((candidate) => candidate !== replaced), run] };
}

/** Whether experts are not kept, or that of a run exists. */
async function hasKeptExpert({ expert }: MethodRun, { out, keep = false }: CompareOptions): Promise<boolean> {
  return !keep || (expert !== null && (await exists(join(out, expert))));
}

async function settingsOf({ options, checkpoint, tasks, corpora }: Session): Promise<ComparisonSettings> {
  const { corpusOptions: { documents, heldOutDocuments, maxTokens } = {}, selection, repair } = options;
  const [anySeed = []] = corpora.values();
  return {
    cusprun: cusprunVersion(),
    model: await checkpointFingerprint(checkpoint, jobOf(options)),
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

/** SHA-256 of the documents of a seed, and of what was counted in the corpora that they were drawn from. */
function documentsDigest(corpora: readonly Corpus[], vocabulary: VocabularyFacts | null): string {
  const documents = corpora.map(({ dimension, calibration, heldOut }) => [
    dimension,
    calibration.map(documentFingerprint),
    heldOut.map(documentFingerprint),
  ]);
  return digestOf([documents, vocabulary === null ? null : vocabularyFingerprint(vocabulary)]);
}

/**
 * Checks that earlier runs of the same key were made from the same documents and settings.
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
      remedy: "Choose another --out, or pass --overwrite to start again",
    });
  }
}
