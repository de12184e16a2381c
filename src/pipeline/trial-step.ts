/**
 * @file Trials as a step: each layer is cut alone and the damage is measured, so that selection knows how sensitive the
 * model is to each layer's losses. The measured damage is kept in the work folder.
 * Source: docs/architecture.md, "Trial cuts".
 */

import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Corpus, Dimension, TokenDocument } from "../corpora/corpus.ts";
import { measureLayerDamage } from "../evaluation/layer-damage.ts";
import { writeFileAtomically } from "../atomic-write.ts";
import type { JobOptions } from "../progress.ts";
import { documentFingerprint } from "../scoring/fingerprint.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { planTrials, type CutTrial, type MeasuredTrial } from "../selection/damage.ts";
import type { PlannedCut } from "../selection/plan.ts";
import { openSelection } from "../selection/selection-context.ts";
import { defaultAllocation, type SelectionOptions } from "../selection/selection-options.ts";
import { asWeightSource, cutExpert } from "../surgery/expert.ts";

/**
 * Documents of each dimension that a trial runs on, and tokens of each. A divergence needs few of them: it compares the
 * model with itself, token by token.
 */
const TRIAL_DOCUMENTS = 4;
const TRIAL_TOKENS = 96;

/** Whether a selection needs trials, which measure how sensitive the model is to the loss of units. */
export function needsTrials(options: Pick<SelectionOptions, "allocation" | "granularity" | "layout">): boolean {
  return (options.allocation ?? defaultAllocation(options, true)) === "damage";
}

/**
 * Measures the trials of a selection, unless an earlier run has.
 * @param repairs whether the expert will be repaired; if so, the damage of a trial is measured after a repair of its
 *   own.
 * @param workFolder of this model, see `openWorkFolder`.
 * @throws CusprunError the errors of `openSelection` and `measureLayerDamage`.
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
  const trials = planTrials(await openSelection(scores, { ...options, trials: "pending" }), repairs);
  const byDimension = trialTexts(corpora, repairs);
  const path = join(workFolder, `trials-${digestOf([scores.fingerprint, trials, byDimension.map(fingerprintOf)])}.json`);
  const known = await readJson(path);
  if (known !== null) return known;
  const documents = byDimension.flatMap((each) => each.documents);
  const cuts = trials.map((trial) => ({
    layer: trial.layer,
    cut: asWeightSource(cutExpert(checkpoint, trialCut(trial, checkpoint.config.numHiddenLayers))),
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

/** The documents of one dimension that trials use. */
export interface TrialTexts {
  readonly dimension: Dimension;
  /** Documents on which the damage is measured. */
  readonly documents: readonly TokenDocument[];
  /** Documents on which a trial is repaired; none if trials are not repaired. */
  readonly fitted: readonly TokenDocument[];
}

/** The documents that trials use, shortened, per dimension. */
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
