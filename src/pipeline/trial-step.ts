/**
 * @file Trials as a step: each layer is cut alone and the damage is read, so that selection knows how much the model minds a layer's losses. What was
 * measured stays in the work folder.
 */

import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Corpus, Dimension, TokenDocument } from "../corpora/corpus.ts";
import { measureLayerDamage } from "../evaluation/layer-damage.ts";
import { writeFileAtomically } from "../files.ts";
import type { JobOptions } from "../progress.ts";
import { documentFingerprint } from "../scoring/fingerprint.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { planTrials, type CutTrial, type MeasuredTrial } from "../selection/damage.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { defaultAllocation, openSelection, type SelectionOptions } from "../selection/selection-context.ts";
import { asWeightSource, cutExpert } from "../surgery/expert.ts";

/** Documents of each dimension that a trial runs on, and tokens of each. Divergences need few: they compare the model with itself, token by token. */
const TRIAL_DOCUMENTS = 4;
const TRIAL_TOKENS = 96;

/** Whether a selection asks what the model minds. */
export function needsTrials(options: SelectionOptions): boolean {
  return (options.allocation ?? defaultAllocation(options, true)) === "damage";
}

/**
 * Measures the trials of a selection, unless an earlier run has.
 * @param repairs whether the expert will be repaired, and trials are to be judged after it.
 * @param workFolder of this model, see `openWorkFolder`.
 * @throws CusprunError what `openSelection` and `measureLayerDamage` throw.
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
  const trials = planTrials(await openSelection(scores, { ...options, trials: [] }), repairs);
  const byDimension = trialTexts(corpora, repairs);
  const path = join(workFolder, `trials-${digestOf([scores.fingerprint, trials, byDimension.map(fingerprintOf)])}.json`);
  const known = await readJson(path);
  if (known !== null) return known;
  const documents = byDimension.flatMap((each) => each.documents);
  const cuts = trials.map((trial) => ({
    layer: trial.layer,
    cut: asWeightSource(cutExpert(checkpoint, trialPlan(trial, checkpoint.config.numHiddenLayers))),
    repair: !trial.repaired ? null : trial.kind === "ffn" ? ("down" as const) : ("o" as const),
  }));
  const measuring = { measured: documents, fitted: byDimension.flatMap((each) => each.fitted) };
  const damage = await measureLayerDamage(checkpoint, cuts, measuring, job);
  const measured = trials.map((trial, index) => {
    let first = 0;
    const means: Partial<Record<Dimension, number>> = {};
    for (const each of byDimension) {
      const own = damage[index]!.subarray(first, (first += each.documents.length));
      means[each.dimension] = own.reduce((sum, value) => sum + value, 0) / own.length;
    }
    return { ...trial, damage: means };
  });
  await writeFileAtomically(path, (temporary) => writeFile(temporary, JSON.stringify(measured)));
  return measured;
}

/** Texts of one dimension. */
export interface TrialTexts {
  readonly dimension: Dimension;
  readonly documents: readonly TokenDocument[];
  readonly fitted: readonly TokenDocument[];
}

/** What trials run on. */
export function trialTexts(corpora: readonly Corpus[], repairs: boolean): readonly TrialTexts[] {
  return corpora.map(({ dimension, calibration }) => ({
    dimension,
    documents: calibration.slice(0, TRIAL_DOCUMENTS).map(shorten),
    fitted: repairs ? calibration.slice(-TRIAL_DOCUMENTS).map(shorten) : [],
  }));
}

function shorten(document: TokenDocument): TokenDocument {
  return { ...document, tokens: document.tokens.subarray(0, TRIAL_TOKENS) };
}

/** A plan that cuts one layer. Only what surgery reads of it matters. */
function trialPlan({ layer, kind, removed }: CutTrial, layerCount: number): PrunePlan {
  return {
    formatVersion: 1,
    layout: "ragged",
    granularity: "structural",
    budget: "trial",
    aggregate: "mean",
    weights: {},
    corpora: {},
    scores: "trial",
    parameters: { total: 0, blocks: 0, requested: 0, removed: 0 },
    overlap: {},
    layers: Array.from({ length: layerCount }, (_, index) => ({
      layer: index,
      cuts: index === layer ? { [kind]: { removed, irrelevantShare: {}, why: {} } } : {},
    })),
  };
}

function fingerprintOf({ dimension, documents, fitted }: TrialTexts): unknown {
  return [dimension, documents.map(documentFingerprint), fitted.map(documentFingerprint)];
}

/** 64 bits of a SHA-256. */
function digestOf(parts: unknown): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}

async function readJson(path: string): Promise<readonly MeasuredTrial[] | null> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as readonly MeasuredTrial[];
  } catch {
    return null;
  }
}
