/**
 * @file Trials as a step: each layer is cut alone and the damage is measured, so that selection knows how sensitive the
 * model is to each layer's losses. The measured damage is kept in the work folder.
 * Source: docs/architecture.md, "Trial cuts".
 */

import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { checkUnchanged } from "../checkpoint/identity.ts";
import type { Corpus, Dimension, TokenDocument } from "../corpora/corpus.ts";
import { measureLayerDamage } from "../evaluation/layer-damage.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import type { JobOptions } from "../progress.ts";
import { documentFingerprint } from "../scoring/fingerprint.ts";
import { modelOverflow } from "../scoring/overflow.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { planTrials, type CutTrial, type MeasuredTrial } from "../selection/damage.ts";
import type { PlannedCut } from "../selection/plan.ts";
import { openSelection } from "../selection/selection-context.ts";
import { defaultAllocation, type SelectionOptions } from "../selection/selection-options.ts";
import { asWeightSource, cutExpert } from "../surgery/expert.ts";
import { removePartialResults, withPartialResults } from "./partial-results.ts";
import { digestOf, readRecord, writeRecord } from "./work-records.ts";

/**
 * Documents of each dimension that a trial runs on, and tokens of each. A divergence needs few of them: it compares the
 * model with itself, token by token.
 */
const TRIAL_DOCUMENTS = 4;
const TRIAL_TOKENS = 96;

/** Hex digits of a key in a file's name; the file holds all of it. */
const KEY_DIGITS = 16;

/** Whether a selection needs trials, which measure how sensitive the model is to the loss of units. */
export function needsTrials(options: Pick<SelectionOptions, "allocation" | "granularity" | "layout">): boolean {
  return (options.allocation ?? defaultAllocation(options, true)) === "damage";
}

/**
 * Measures the trials of a selection, unless an earlier run has; one that was stopped is continued.
 * @param repairs whether the expert will be repaired; if so, the damage of a trial is measured after a repair of its
 *   own.
 * @param workFolder of this model, see `openWorkFolder`.
 * @throws CusprunError `MODEL_OVERFLOW`; the errors of `openSelection`, `measureLayerDamage` and `checkUnchanged`.
 */
export async function ensureTrials(
  checkpoint: Checkpoint,
  corpora: readonly Corpus[],
  scores: RelevanceScores,
  options: SelectionOptions,
  repairs: boolean,
  workFolder: string,
  job: JobOptions,
): Promise<readonly MeasuredTrial[]> {
  const { trials, byDimension, key, path, known } = await findTrials(corpora, scores, options, repairs, workFolder);
  if (known !== null) {
    await removePartialResults(workFolder, "trials", key);
    return known;
  }
  const documents = byDimension.flatMap((each) => each.documents);
  const cuts = trials.map((trial) => ({
    layer: trial.layer,
    cut: asWeightSource(cutExpert(checkpoint, trialCut(trial, checkpoint.config.numHiddenLayers))),
    repair: !trial.repaired ? null : trial.kind === "ffn" ? ("down" as const) : ("o" as const),
  }));
  const measuring = { measured: documents, fitted: byDimension.flatMap((each) => each.fitted) };
  return withPartialResults(workFolder, "trials", key, checkpoint, async (journal) => {
    const damage = await measureLayerDamage(checkpoint, cuts, measuring, { ...job, journal });
    const measured = trials.map((trial, index) => ({ ...trial, damage: meanDamage(damage[index]!, byDimension) }));
    checkFinite(measured, checkpoint);
    await checkUnchanged(checkpoint);
    await writeRecord(path, { key, measured });
    return measured;
  });
}

function checkFinite(measured: readonly MeasuredTrial[], { path }: Checkpoint): void {
  const overflowed = measured.find(({ damage }) => !Object.values(damage).every(Number.isFinite));
  if (overflowed === undefined) return;
  const { layer, kind } = overflowed;
  throw modelOverflow(`${path}: layer ${layer}`, `damage of a trial cut of ${kind} that is not finite`, null);
}

/** The trials of a selection, and what an earlier run has measured of them; `known` is null if none has. */
export async function findTrials(
  corpora: readonly Corpus[],
  scores: RelevanceScores,
  options: SelectionOptions,
  repairs: boolean,
  workFolder: string,
): Promise<{
  readonly trials: readonly CutTrial[];
  readonly byDimension: readonly TrialTexts[];
  readonly key: string;
  readonly path: string;
  readonly known: readonly MeasuredTrial[] | null;
}> {
  const trials = planTrials(await openSelection(scores, { ...options, trials: "pending" }), repairs);
  const byDimension = trialTexts(corpora, repairs);
  const key = digestOf([scores.fingerprint, trials, byDimension.map(fingerprintOf)]);
  const path = join(workFolder, `trials-${key.slice(0, KEY_DIGITS)}.json`);
  const record = await readRecord(path);
  return { trials, byDimension, key, path, known: isMeasured(record, key, trials, byDimension) ? record.measured : null };
}

/** Means over the documents of each dimension. */
function meanDamage(damage: Float64Array, byDimension: readonly TrialTexts[]): MeasuredTrial["damage"] {
  let first = 0;
  const means: Partial<Record<Dimension, number>> = {};
  for (const { dimension, documents } of byDimension) {
    const own = damage.subarray(first, (first += documents.length));
    means[dimension] = own.reduce((sum, value) => sum + value, 0) / own.length;
  }
  return means;
}

/** Whether a record holds these trials with a finite damage to every dimension. */
function isMeasured(
  record: unknown,
  key: string,
  trials: readonly CutTrial[],
  byDimension: readonly TrialTexts[],
): record is { readonly measured: readonly MeasuredTrial[] } {
  if (!isJsonObject(record) || record["key"] !== key || !Array.isArray(record["measured"])) return false;
  const { measured } = record as { readonly measured: readonly unknown[] };
  return (
    measured.length === trials.length &&
    measured.every((trial, index) => {
      if (!isJsonObject(trial) || !isJsonObject(trial["damage"])) return false;
      const { damage, ...planned } = trial as JsonObject & { readonly damage: JsonObject };
      return (
        isDeepStrictEqual(planned, { ...trials[index] }) &&
        byDimension.every(({ dimension }) => Number.isFinite(damage[dimension]))
      );
    })
  );
}

/** The documents of one dimension that trials use. */
export interface TrialTexts {
  readonly dimension: Dimension;
  /** Documents on which the damage is measured. */
  readonly documents: readonly TokenDocument[];
  /** Documents on which a trial is repaired; none if trials are not repaired. */
  readonly fitted: readonly TokenDocument[];
}

/**
 * The documents that trials use, shortened, per dimension. Damage is measured on no document that a trial is repaired
 * on, since a fit looks better there than it is: fewer than 8 documents are divided, and the documents that another
 * dimension measures on are left out too if that leaves any. Only if a single document is all there is, it is used for
 * both.
 */
export function trialTexts(corpora: readonly Corpus[], repairs: boolean): readonly TrialTexts[] {
  const measured = corpora.map(({ calibration }) =>
    calibration.slice(0, repairs ? Math.min(TRIAL_DOCUMENTS, Math.ceil(calibration.length / 2)) : TRIAL_DOCUMENTS),
  );
  const othersThan = (known: readonly TokenDocument[], { calibration }: Corpus): TokenDocument[] => {
    const digests = new Set(known.map(documentFingerprint));
    return calibration.filter((document) => !digests.has(documentFingerprint(document))).slice(-TRIAL_DOCUMENTS);
  };
  const choices = [
    corpora.map((corpus) => othersThan(measured.flat(), corpus)),
    corpora.map((corpus, index) => othersThan(measured[index]!, corpus)),
  ];
  const fitted = choices.find((choice) => choice.flat().length > 0) ?? measured;
  return corpora.map(({ dimension }, index) => ({
    dimension,
    documents: measured[index]!.map(shorten),
    fitted: repairs ? fitted[index]!.map(shorten) : [],
  }));
}

function shorten(document: TokenDocument): TokenDocument {
  return { ...document, tokens: document.tokens.subarray(0, TRIAL_TOKENS) };
}

/** The cut of one layer alone. */
function trialCut({ layer, kind, removed }: CutTrial, layerCount: number): PlannedCut {
  return {
    layout: "ragged",
    granularity: "structural",
    layers: Array.from({ length: layerCount }, (_, index) => ({
      layer: index,
      cuts: index === layer ? { [kind]: { removed } } : {},
    })),
  };
}

function fingerprintOf({ dimension, documents, fitted }: TrialTexts): unknown {
  return [dimension, documents.map(documentFingerprint), fitted.map(documentFingerprint)];
}
