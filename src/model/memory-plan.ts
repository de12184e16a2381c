/**
 * @file What a stage needs of memory at its peak, from the model's sizes and the documents' lengths; and, under a limit, the largest batches
 * that fit, with a scratch file where the hidden states do not. In bytes, 4 of an f32, 8 of an f64:
 *
 *     peak    = program + states + scores + max(blocks, ends)
 *     program = 250 MB + 900·V (1500·V where tokens are scored)   Node, ONNX Runtime, tokenizer, corpora
 *     states  = 4·sets·D·Σ B·T over batches                       sets: 1; repairing 5; trying n cuts n + 4; in a scratch file the largest B·T alone
 *     scores  = 4·N·(units of the kinds)                          scoring alone
 *     blocks  = 4·layers·W + garbage + max(4·D·F, batch + fit)    W: parameters of a block; layers: 1, with a fit 3; D·F: as it is read
 *     garbage = 2·min(4·W, 128 MB), with a fit at least 128 MB    layers and sums that the collector has not taken yet
 *     batch   = 4·B·T·(6·D + max(2·(H + 2·G)·K + pairs·H·K + maps·H·T, 3·F)), the largest
 *     fit     = 8·((sums + 3)·n² + (sums + 6)·n·D + 512·n)  repairing: sums 2; trying cuts with repair: 1; n = max(F, H·K) of the cut layer
 *     ends    = 4·(2·S·D + 2·R·S + M·D)                           embedding and head: S = 8192 tokens of V, M rows of states, R = 1024 of them at once
 *
 * Writing: program + 32 MB: tensors are written in pieces of 4 MB in f32.
 *
 * maps [B, H, T, T] count as 2, which is more than the fused attention holds where none is scored, 4 where pairs or rows of q and k are scored to first order, 6 exactly; pairs is 10 there. The program's share
 * and the garbage are measured on whole processes (docs/LOG.md).
 */

import { totalmem } from "node:os";
import { blockSizes, type BlockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { CusprunError } from "../errors.ts";
import { MAX_BATCH_TOKENS, planBatches } from "./batches.ts";
import type { MapChange } from "./block-energies.ts";
import { ROWS_PER_PRODUCT, VOCABULARY_PER_PRODUCT } from "./head-slices.ts";
import { unitCount, type RelevanceKind } from "./units.ts";

/** What is to be done, and on what. */
export type MemoryRequest = {
  readonly config: ModelConfig;
  /** Tokens of each document. */
  readonly lengths: readonly number[];
} & (
  | {
      readonly stage: "scoring";
      readonly kinds: readonly RelevanceKind[];
      readonly mapChange: MapChange;
      /** Whether tokens are scored too. */
      readonly vocabulary: boolean;
    }
  | { readonly stage: "measuring" }
  /** With the sizes of the cut layers, whose matrices are fitted. */
  | { readonly stage: "repairing"; readonly expert: Pick<ModelConfig, "layerSizes"> }
  /** Trials, and whether each fits its layer's output matrix anew. */
  | { readonly stage: "trying cuts"; readonly trials: number; readonly repairs: boolean }
  | { readonly stage: "writing" }
);

/** How a stage is run, and what it needs. */
export interface MemoryPlan {
  readonly stage: MemoryRequest["stage"];
  /** For `makeBatches`. */
  readonly batchTokens: number;
  /** Whether hidden states live in a scratch file. */
  readonly spills: boolean;
  /** Estimate of the process' largest resident memory. */
  readonly peakBytes: number;
}

/** Targets that go through the output head together when a model is measured. */
export const MAX_TARGETS = 8192;

/** Positions at which the model is asked what it expects, over a dimension's documents: evenly spread, since neighbours expect alike. */
export const MAX_POSITIONS = 8192;

/** Batches are not made smaller than this: no memory worth mentioning would be won. */
const MIN_BATCH_TOKENS = 64;
/** Share of the machine's memory that is used where no limit is given: the system and the user's other programs need the rest. */
const DEFAULT_SHARE = 0.75;

const PROGRAM_BYTES = 250e6;
const TOKEN_BYTES = 900;
const SCORED_TOKEN_BYTES = 1500;
/** Of one layer. */
const MAX_GARBAGE_BYTES = 128e6;
/** Arrays of a fit that lie about before V8 begins to collect, however small the layers are. */
const MIN_FIT_GARBAGE_BYTES = 128e6;
/** Pieces in hand, and those that the collector has not taken yet. */
const WRITING_BYTES = 32e6;
const MAP_KINDS: readonly RelevanceKind[] = ["rotary-pair", "q-row", "k-row"];

/** Bytes that a run may take where the user names no limit: three quarters of the machine's memory, or of the container's. */
export function defaultMemoryLimit(): number {
  // 0, or more than there is, where nothing constrains the process.
  const constrained = process.constrainedMemory();
  const machine = totalmem();
  return Math.floor(DEFAULT_SHARE * (constrained > 0 ? Math.min(constrained, machine) : machine));
}

/**
 * The fastest way to run a stage within a limit: everything in memory, else the hidden states in a scratch file, else smaller batches too.
 * @param limit bytes. Default `defaultMemoryLimit()`.
 * @throws CusprunError `MEMORY_LIMIT` where nothing fits.
 */
export function planMemory(request: MemoryRequest, limit: number = defaultMemoryLimit()): MemoryPlan {
  const { stage } = request;
  let plan = { stage, batchTokens: MAX_BATCH_TOKENS, spills: false, peakBytes: peakOf(request, MAX_BATCH_TOKENS, false) };
  for (let batchTokens = MAX_BATCH_TOKENS; plan.peakBytes > limit && batchTokens >= MIN_BATCH_TOKENS; batchTokens /= 2)
    plan = { stage, batchTokens, spills: true, peakBytes: peakOf(request, batchTokens, true) };
  if (plan.peakBytes <= limit) return plan;
  const longest = largest(request.lengths);
  const how = stage === "writing" ? "" : `, with one document of ${longest} tokens at a time and a scratch file`;
  throw new CusprunError("MEMORY_LIMIT", {
    where: `memory for ${stage}`,
    found: `a limit of ${inMebibytes(limit)}`,
    expected: `at least ${inMebibytes(plan.peakBytes)}${how}`,
    remedy: remediesOf(request, limit).join(", or "),
  });
}

/** What would help. */
function remediesOf(request: MemoryRequest, limit: number): string[] {
  const isTooLong = request.stage !== "writing" && peakOf({ ...request, lengths: [1] }, MIN_BATCH_TOKENS, true) <= limit;
  return [
    "Allow more with --memory",
    ...(isTooLong ? ["take shorter documents (--max-tokens, of an evaluation --window)"] : []),
    ...(request.stage === "repairing" ? ["do without repair (--no-repair)"] : []),
  ];
}

/** Bytes, see the formula above. */
function peakOf(request: MemoryRequest, batchTokens: number, spills: boolean): number {
  const { config, lengths, stage } = request;
  const { hiddenSize: D, vocabSize: V } = config;
  if (stage === "writing") return PROGRAM_BYTES + V * TOKEN_BYTES + WRITING_BYTES;
  const trials = request.stage === "trying cuts" ? request.trials : 0;
  const sets = stage === "repairing" ? 5 : stage === "trying cuts" ? trials + 4 : 1;
  const sums = stage === "repairing" ? 2 : request.stage === "trying cuts" && request.repairs ? 1 : 0;
  const kinds = request.stage === "scoring" ? request.kinds : [];
  const scoresMaps = kinds.some((kind) => MAP_KINDS.includes(kind));
  const maps = !scoresMaps ? 2 : request.stage === "scoring" && request.mapChange === "exact" ? 6 : 4;
  const scoresTokens = request.stage === "scoring" && request.vocabulary;

  const batches = planBatches(lengths, batchTokens).map(({ documents, length }) => ({ rows: documents.length, length }));
  const tokens = batches.map(({ rows, length }) => rows * length);
  const states = 4 * sets * D * (spills ? largest(tokens) : sum(tokens));
  let blocks = 0;
  let scores = 0;
  for (const index of config.layerSizes.keys()) {
    const sizes = blockSizes(config, index);
    const { intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = sizes;
    const batch = batches.map(({ rows, length }) => {
      const attention = 2 * (H + 2 * G) * K + (scoresMaps ? 10 * H * K : 0) + maps * H * length;
      return 4 * rows * length * (6 * D + Math.max(attention, 3 * F));
    });
    const layer = 4 * parametersOf(sizes);
    const garbage = Math.max(2 * Math.min(layer, MAX_GARBAGE_BYTES), sums > 0 ? MIN_FIT_GARBAGE_BYTES : 0);
    const weights = (sums > 0 ? 3 : 1) * layer + garbage;
    const fitted = request.stage === "repairing" ? request.expert.layerSizes[index]! : sizes;
    const n = Math.max(fitted.intermediateSize, fitted.numAttentionHeads * K);
    const fit = sums === 0 ? 0 : 8 * ((sums + 3) * n * n + (sums + 6) * n * D + 512 * n);
    blocks = Math.max(blocks, weights + Math.max(4 * D * F, largest(batch) + fit));
    scores = Math.max(scores, 4 * lengths.length * sum(kinds.map((kind) => unitCount(kind, sizes))));
  }
  const slice = Math.min(VOCABULARY_PER_PRODUCT, V);
  const targets = Math.min(sum(lengths), scoresTokens ? MAX_POSITIONS : MAX_TARGETS);
  const rows = stage === "repairing" ? 0 : stage === "trying cuts" ? (trials + 1) * largest(tokens) : targets;
  const ends = 4 * (2 * slice * D + 2 * Math.min(ROWS_PER_PRODUCT, rows) * slice + rows * D);
  const program = PROGRAM_BYTES + V * (scoresTokens ? SCORED_TOKEN_BYTES : TOKEN_BYTES);
  return program + states + scores + Math.max(blocks, ends);
}

/** Of a block's matrices; the rest is nothing beside them. */
function parametersOf({
  hiddenSize: D,
  intermediateSize: F,
  numAttentionHeads: H,
  numKeyValueHeads: G,
  headDim: K,
}: BlockSizes): number {
  return D * (2 * H * K + 2 * G * K + 3 * F);
}

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function inMebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
