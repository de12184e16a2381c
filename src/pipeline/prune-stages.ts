/**
 * @file The stages of a prepared run with the time that each will take on this machine, before any of them begins:
 * what earlier runs have done is found, the work of the rest is counted, and the machine's speed measured.
 * Source: docs/architecture.md, "Time".
 */

import { blockTensorName, familyNamed } from "../families/index.ts";
import type { LayerSizes } from "../checkpoint/config/model-config.ts";
import type { Corpus, TokenDocument } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import type { PlannedPart, PlannedTensor } from "../export/expert-folder.ts";
import { MAX_POSITIONS } from "../model/memory-plan.ts";
import type { RelevanceKind } from "../model/units.ts";
import { planWork, secondsOf, type Work, WORK_KINDS, type WorkRequest } from "../model/work-plan.ts";
import type { JobOptions, StageTime } from "../progress.ts";
import { uniqueDocuments } from "../scoring/fingerprint.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { selectUnits } from "../selection/select.ts";
import { cutExpert, type Expert } from "../surgery/expert.ts";
import { FITTED_MATRICES, stepsOf } from "../surgery/repair-steps.ts";
import { defined } from "./defined.ts";
import { speedOf } from "./machine-speed.ts";
import { knownDense } from "./measure-step.ts";
import { choosingOf, isToBeRepaired, type PreparedPrune, repairDocumentsOf, writeOptionsOf } from "./prepare-prune.ts";
import { isRepaired } from "./repair-step.ts";
import { knownScores } from "./scoring-step.ts";
import { rehearseSelection } from "./selection-step.ts";
import { findTrials, needsTrials, trialTexts } from "./trial-step.ts";
import { planParts } from "./writing-step.ts";

/** A run that is planned. */
export interface PlannedRun {
  /** In order; one `writing` for each format. */
  readonly stages: readonly StageTime[];
  /** What will be written, one entry per format. */
  readonly parts: readonly PlannedPart[];
}

/** A stage with its work, or with its time if that is known already; neither if an earlier run has done it. */
interface PlannedStage {
  readonly stage: string;
  readonly work?: Work | null;
  readonly seconds?: number;
}

/** What earlier runs have left. */
interface KnownResults {
  readonly scores: boolean;
  readonly trials: boolean;
  /** The plan, if everything that it depends on is known, and the seconds that selecting took. */
  readonly selected: Timed<PrunePlan> | null;
  /** Corpora whose held-out documents the dense model was not measured on. */
  readonly unmeasured: readonly Corpus[];
  readonly repair: boolean;
}

/**
 * Plans the stages of a run.
 * @param keepsSpeed whether the machine's speed, if it has to be measured, is kept in the work folder.
 * @throws CusprunError what the formats cannot hold; the errors of reading the checkpoint.
 */
export async function planStages(prepared: PreparedPrune, keepsSpeed: boolean, job: JobOptions): Promise<PlannedRun> {
  const { checkpoint, options, corpora, request, workFolder } = prepared;
  const known = await findKnown(prepared, job);
  const { result: plan, seconds: selecting } = known.selected ?? (await timed(() => likelyPlan(prepared)));
  const cut = cutExpert(checkpoint, plan);
  const expert = isToBeRepaired(prepared, plan) ? asRepaired(cut, plan) : cut;
  const parts = await planParts(options.model, checkpoint, { plan, expert }, writeOptionsOf(prepared));
  const writing: number[] = [];
  for (const part of parts) writing.push(await writingSeconds(part.tensors));
  const stages = listStages(prepared, known, plan, expert, selecting, writing);
  const speedRequest = {
    kinds: WORK_KINDS.filter((kind) => stages.some(({ work }) => (work?.[kind] ?? 0) > 0)),
    lengths: lengthsOf(corpora.flatMap(({ calibration }) => calibration)),
    scoring: request,
    trials: needsTrials(prepared.rehearsed.selection) ? trialSizes(prepared).length : 0,
  };
  const speed = await speedOf(checkpoint, speedRequest, workFolder, keepsSpeed, job);
  return {
    parts,
    stages: stages.map(({ stage, work, seconds = work ? secondsOf(work, speed) : undefined }) => ({
      stage,
      seconds: seconds ?? 0,
      silentSeconds: work ? secondsOf(lastWork(work), speed) : 0,
      reused: seconds === undefined,
    })),
  };
}

async function findKnown(prepared: PreparedPrune, job: JobOptions): Promise<KnownResults> {
  const { checkpoint, options, rehearsed, corpora, request, workFolder } = prepared;
  const unmeasured = options.measure === false ? [] : (await knownDense(corpora, workFolder)).missing;
  const found = await knownScores(checkpoint, corpora, request, workFolder, job);
  if (found === null) return { scores: false, trials: false, selected: null, unmeasured, repair: false };
  try {
    const { relevances, choosing } = choosingOf(prepared, found.scores, job);
    const tries = needsTrials(rehearsed.selection);
    const trials = tries ? (await findTrials(corpora, relevances, choosing, rehearsed.repairing, workFolder)).known : null;
    if (tries && trials === null) return { scores: true, trials: false, selected: null, unmeasured, repair: false };
    const selected = await timed(() => selectUnits(relevances, { ...choosing, ...defined({ trials: trials ?? undefined }) }));
    const { result: plan } = selected;
    const repair = isToBeRepaired(prepared, plan) && (await isRepaired(plan, await repairDocumentsOf(prepared, job), workFolder));
    return { scores: true, trials: tries, selected, unmeasured, repair };
  } finally {
    await found.scores.close();
  }
}

/**
 * A plan with about the sizes that the expert will have: tokens are ranked by their counts, units are made up.
 * @throws CusprunError `SELECTION_INVALID` for a vocabulary that cannot be so small.
 */
async function likelyPlan({ checkpoint, dimensions, rehearsed, request }: PreparedPrune): Promise<PrunePlan> {
  const { selection, extras, plan } = rehearsed;
  const { vocabulary: _, ...units } = plan;
  try {
    return await rehearseSelection(checkpoint.config, dimensions, selection, extras, request.vocabulary);
  } catch (error) {
    // Whether the budget can be met depends on the tokens that the model predicts.
    if (error instanceof CusprunError && error.code === "BUDGET_UNREACHABLE") return units;
    throw error;
  }
}

/** What a stage does after its last layer, without a report: predictions are read from the output head. */
function lastWork({ head = 0, damage = 0 }: Work): Work {
  return { head, damage };
}

/** The stages of a run, in order. */
function listStages(
  prepared: PreparedPrune,
  known: KnownResults,
  plan: PrunePlan,
  expert: Expert,
  selecting: number,
  writing: readonly number[],
): readonly PlannedStage[] {
  const { checkpoint, options, rehearsed, corpora, request, memory } = prepared;
  const { config } = checkpoint;
  const lengths = lengthsOf(corpora.flatMap((corpus) => corpus.calibration));
  const heldOut = (of: readonly Corpus[]): number[] => of.flatMap((corpus) => corpus.heldOut.map(({ tokens }) => tokens.length));
  const work = (of: WorkRequest): Work => planWork(of, memory.stages.find(({ stage }) => stage === of.stage)?.batchTokens);
  const stages: PlannedStage[] = [];
  const positions = corpora.map((corpus) => Math.min(MAX_POSITIONS, sum(lengthsOf(corpus.calibration))));
  const scored = { stage: "scoring", config, lengths, positions: request.vocabulary === null ? [] : positions } as const;
  stages.push({ stage: "scoring", work: known.scores ? null : work(scored) });
  if (needsTrials(rehearsed.selection)) {
    const texts = trialTexts(corpora, rehearsed.repairing);
    const tried = texts.flatMap(({ documents }) => documents.map(({ tokens }) => tokens.length));
    const fitted = texts.flatMap((each) => each.fitted.map(({ tokens }) => tokens.length));
    const trying = { stage: "trying cuts", config, lengths: tried, fitted, trials: trialSizes(prepared) } as const;
    stages.push({ stage: "trying cuts", work: known.trials ? null : work(trying) });
  }
  stages.push({ stage: "selecting", seconds: selecting });
  const measures = options.measure !== false && heldOut(corpora).length > 0;
  if (measures) {
    const missing = { stage: "measuring", config, lengths: heldOut(known.unmeasured) } as const;
    stages.push({ stage: "measuring the dense model", work: missing.lengths.length === 0 ? null : work(missing) });
  }
  if (isToBeRepaired(prepared, plan)) {
    const kept = memory.keptStatesBytes > 0 && !known.scores;
    const repairing = { stage: "repairing", config, lengths, expert: expert.config, kept } as const;
    stages.push({ stage: "repairing", work: known.repair ? null : work(repairing) });
  }
  for (const seconds of writing) stages.push({ stage: "writing", seconds });
  const measured = { stage: "measuring", config: expert.config, lengths: heldOut(corpora) } as const;
  return measures ? [...stages, { stage: "measuring the expert", work: work(measured) }] : stages;
}

/** The layers that trial cuts make smaller, with their sizes: about half of the units of each kind. */
function trialSizes({ checkpoint, request }: PreparedPrune): { readonly layer: number; readonly sizes: LayerSizes }[] {
  return checkpoint.config.layerSizes.flatMap((sizes, layer) =>
    request.kinds.map((kind) => ({ layer, sizes: trialCutSizes(kind, sizes) })),
  );
}

function trialCutSizes(kind: RelevanceKind, sizes: LayerSizes): LayerSizes {
  const { intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G } = sizes;
  if (kind === "ffn") return { ...sizes, intermediateSize: Math.ceil(F / 2) };
  if (kind === "head") return { ...sizes, numAttentionHeads: Math.max(1, H - G) };
  const kept = Math.ceil(G / 2);
  return kind === "kv-group" ? { ...sizes, numKeyValueHeads: kept, numAttentionHeads: (H / G) * kept } : sizes;
}

/** An expert whose fitted matrices are no longer those of the checkpoint, so that their bytes are not copied. */
function asRepaired(expert: Expert, plan: PrunePlan): Expert {
  const family = familyNamed(expert.config.family);
  const fitted = new Set(
    plan.layers.flatMap(({ layer }) =>
      stepsOf(plan, layer).flatMap((step) => FITTED_MATRICES[step].map((role) => blockTensorName(family, layer, role))),
    ),
  );
  const tensors = expert.tensors.map((tensor) => {
    if (!fitted.has(tensor.name)) return tensor;
    // They are quantised by importance, which takes longer.
    const readImportance = (): Promise<Float32Array<ArrayBuffer>> => Promise.resolve(new Float32Array(tensor.shape[1]!).fill(1));
    return { ...tensor, readBytes: null, rowsAsStored: null, readImportance };
  });
  return { ...expert, tensors };
}

/** Seconds to make the bytes of all tensors: of each kind, the first piece of the largest tensor is made. */
async function writingSeconds(tensors: readonly PlannedTensor[]): Promise<number> {
  let total = 0;
  for (const kind of new Set(tensors.map((tensor) => tensor.kind))) {
    const own = tensors.filter((tensor) => tensor.kind === kind);
    const largest = own.reduce((most, tensor) => (tensor.bytes > most.bytes ? tensor : most));
    await bytesOfFirstPiece(largest); // Compiles the loops.
    const { result: bytes, seconds } = await timed(() => bytesOfFirstPiece(largest));
    total += (sum(own.map((tensor) => tensor.bytes)) / Math.max(1, bytes)) * seconds;
  }
  return total;
}

async function bytesOfFirstPiece(tensor: PlannedTensor): Promise<number> {
  for await (const piece of tensor.pieces()) return sum([piece].flat().map(({ byteLength }) => byteLength));
  return 0;
}

/** What work returned, and the seconds that it took. */
interface Timed<T> {
  readonly result: T;
  readonly seconds: number;
}

async function timed<T>(work: () => Promise<T>): Promise<Timed<T>> {
  const startedAtMs = performance.now();
  const result = await work();
  return { result, seconds: (performance.now() - startedAtMs) / 1000 };
}

/** Tokens of each document; a document that is in several corpora runs once. */
function lengthsOf(documents: readonly TokenDocument[]): number[] {
  return uniqueDocuments(documents).map(({ tokens }) => tokens.length);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
