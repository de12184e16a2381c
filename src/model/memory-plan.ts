/**
 * @file Estimates the peak memory of a stage from the model's sizes and the documents' lengths; and, under a limit,
 * finds the largest batches that fit, with a scratch file for the hidden states if they do not. Background:
 * docs/architecture.md, "Memory". In bytes, 4 of an f32; symbols as in tensor.ts:
 *
 *     peak      = program + states + scores + max(blocks, ends)
 *     program   = 250 MB + 900·V (1500·V if tokens are scored)    Node, ONNX Runtime, tokenizer, corpora
 *     states    = 4·(sets·D + inner)·Σ B·T over batches           in a scratch file: only the largest batch
 *     scores    = 4·N·(units of the scored kinds)                 of the largest layer; only when scoring
 *     blocks    = 4·layers·W + garbage + max(4·D·F, batch + fit)  of the largest layer; 4·D·F: a matrix being read
 *     garbage   = 2·min(4·W, 128 MB), with a fit at least 128 MB  layers and sums that are not collected yet
 *     batch     = 4·B·T·(6·D + max(attention, 3·F))               activations of the largest batch
 *     attention = 2·(H + 2·G)·K + pairs·H·K + maps·H·T
 *     fit       = 4·((sums + 1)·n·(n + 512)/2 + (sums + 4)·n·D    normal equations and solver
 *                    + sums·2048·(n + D) + 4096·n)
 *     ends      = 4·(2·S·D + 2·R·S + M·D)                         embedding and head
 *
 *     W         parameters of a block's matrices
 *     layers    1; with a fit 3
 *     sets      1; repairing: 5; trying k cuts: k + 4
 *     inner     widest input of an output matrix when repairing, else 0
 *     maps      attention maps [B, H, T, T] at once: 2, which is more than the fused attention holds; 4 if rotary pairs
 *               or rows of q and k are scored to first order, 6 if exactly
 *     pairs     10 if rotary pairs or rows of q and k are scored, else 0
 *     sums      sets of normal equations; repairing: 2; trying cuts with repair: 1
 *     n         width of the fitted matrix: max(F, H·K) of the cut layer
 *     S, M, R   8192 tokens of V; rows of states; min(M, 1024) of them at once
 *
 * Writing takes program + 32 MB: tensors are written in pieces of 4 MB in f32. The program's share and the garbage are
 * measured on whole processes (docs/LOG.md).
 */

import { totalmem } from "node:os";
import { blockSizes, type BlockSizes } from "../checkpoint/check-tensors.ts";
import type { LayerSizes, ModelConfig } from "../checkpoint/config/model-config.ts";
import { CusprunError } from "../errors.ts";
import { type BatchShape, MAX_BATCH_TOKENS, planBatches } from "./batches.ts";
import type { MapChange } from "./block-energies.ts";
import { ROWS_PER_PRODUCT, VOCABULARY_PER_PRODUCT } from "./head-slices.ts";
import { unitCount, type RelevanceKind } from "./units.ts";

/** A stage and what it runs on. */
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
  /** `expert`: the sizes of the cut layers, whose matrices are fitted. */
  | { readonly stage: "repairing"; readonly expert: Pick<ModelConfig, "layerSizes"> }
  /** `trials`: how many; `repairs`: whether each fits its layer's output matrix again. */
  | { readonly stage: "trying cuts"; readonly trials: number; readonly repairs: boolean }
  | { readonly stage: "writing" }
);

/** How a stage is run, and how much memory it needs. */
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

/**
 * Positions of a dimension's documents at which the model's next-token probabilities are read: evenly spread, since
 * neighbours predict similar tokens.
 */
export const MAX_POSITIONS = 8192;

/** Batches are not made smaller than this: it would save no memory worth mentioning. */
const MIN_BATCH_TOKENS = 64;
/** Share of the machine's memory that is used by default: the system and the user's other programs need the rest. */
const DEFAULT_SHARE = 0.75;

const PROGRAM_BYTES = 250e6;
const TOKEN_BYTES = 900;
const SCORED_TOKEN_BYTES = 1500;
/** Most that one uncollected layer is counted with. */
const MAX_GARBAGE_BYTES = 128e6;
/** Arrays of a fit that pile up before V8 begins to collect, however small the layers are. */
const MIN_FIT_GARBAGE_BYTES = 128e6;
/** Tokens that wait to be added to a fit's sums, and most rows of a block of its matrices. */
export const CHUNK_TOKENS = 2048;
export const MAX_BLOCK = 512;
/** Most projected outputs of a fit, in which errors are compared. */
export const MAX_PROJECTED = 256;
/** Further numbers for each input of a fit: the waiting tokens again, projected sums and weights, inverses. */
const FIT_ROWS = 4096;
/** Pieces in use, and those that have not been collected yet. */
const WRITING_BYTES = 32e6;
const MAP_KINDS: readonly RelevanceKind[] = ["rotary-pair", "q-row", "k-row"];

/** Whether scoring these kinds needs attention maps, and so not the fused attention. */
export function readsMaps(kinds: readonly RelevanceKind[]): boolean {
  return kinds.some((kind) => MAP_KINDS.includes(kind));
}

/** The default memory limit in bytes: three quarters of the machine's memory, or of the container's. */
export function defaultMemoryLimit(): number {
  // 0, or more than the machine has, if nothing constrains the process.
  const constrained = process.constrainedMemory();
  const machine = totalmem();
  return Math.floor(DEFAULT_SHARE * (constrained > 0 ? Math.min(constrained, machine) : machine));
}

/**
 * The fastest way to run a stage within a limit: everything in memory; or the hidden states in a scratch file; or
 * smaller batches as well.
 * @param limit bytes. Default `defaultMemoryLimit()`.
 * @throws CusprunError `MEMORY_LIMIT` if nothing fits.
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

function remediesOf(request: MemoryRequest, limit: number): string[] {
  const isTooLong = request.stage !== "writing" && peakOf({ ...request, lengths: [1] }, MIN_BATCH_TOKENS, true) <= limit;
  return [
    "Allow more with --memory",
    ...(isTooLong ? ["take shorter documents (--max-tokens, of an evaluation --window)"] : []),
    ...(request.stage === "repairing" ? ["do without repair (--no-repair)"] : []),
  ];
}

/** The terms of the formula above that depend on the stage. */
interface StageTerms {
  readonly sets: number;
  readonly inner: number;
  readonly sums: number;
  readonly maps: number;
  readonly pairs: number;
  /** N times the scored units of a layer. */
  readonly scoredValues: (sizes: BlockSizes) => number;
  readonly tokenBytes: number;
  /** M, of batches with this many tokens each. */
  readonly headRows: (batchTokens: readonly number[]) => number;
  /** n, in a layer. */
  readonly fitWidth: (layer: number, sizes: BlockSizes) => number;
}

function termsOf(request: Exclude<MemoryRequest, { readonly stage: "writing" }>): StageTerms {
  const { lengths } = request;
  const widthOf = ({ intermediateSize, numAttentionHeads }: LayerSizes, headDim: number): number =>
    Math.max(intermediateSize, numAttentionHeads * headDim);
  const plain: StageTerms = {
    sets: 1,
    inner: 0,
    sums: 0,
    maps: 2,
    pairs: 0,
    scoredValues: () => 0,
    tokenBytes: TOKEN_BYTES,
    headRows: () => Math.min(sum(lengths), MAX_TARGETS),
    fitWidth: (_, sizes) => widthOf(sizes, sizes.headDim),
  };
  switch (request.stage) {
    case "measuring":
      return plain;
    case "scoring": {
      const { kinds, mapChange, vocabulary } = request;
      const scoresMaps = readsMaps(kinds);
      return {
        ...plain,
        ...(scoresMaps && { maps: mapChange === "exact" ? 6 : 4, pairs: 10 }),
        scoredValues: (sizes) => lengths.length * sum(kinds.map((kind) => unitCount(kind, sizes))),
        ...(vocabulary && { tokenBytes: SCORED_TOKEN_BYTES, headRows: () => Math.min(sum(lengths), MAX_POSITIONS) }),
      };
    }
    case "repairing": {
      const { layerSizes } = request.expert;
      const fitWidth = (layer: number, { headDim }: BlockSizes): number => widthOf(layerSizes[layer]!, headDim);
      const inner = largest(layerSizes.map((sizes) => widthOf(sizes, request.config.headDim)));
      return { ...plain, sets: 5, inner, sums: 2, headRows: () => 0, fitWidth };
    }
    case "trying cuts": {
      const { trials, repairs } = request;
      return { ...plain, sets: trials + 4, sums: repairs ? 1 : 0, headRows: (tokens) => (trials + 1) * largest(tokens) };
    }
    default:
      throw request satisfies never;
  }
}

/** Bytes, see the formula above. */
function peakOf(request: MemoryRequest, batchTokens: number, spills: boolean): number {
  const { hiddenSize: D, vocabSize: V } = request.config;
  if (request.stage === "writing") return PROGRAM_BYTES + V * TOKEN_BYTES + WRITING_BYTES;
  const terms = termsOf(request);
  const batches = planBatches(request.lengths, batchTokens);
  const tokens = batches.map(({ documents, length }) => documents.length * length);
  const layers = request.config.layerSizes.map((_, layer) => blockSizes(request.config, layer));

  const program = PROGRAM_BYTES + V * terms.tokenBytes;
  const states = 4 * (terms.sets * D + terms.inner) * (spills ? largest(tokens) : sum(tokens));
  const scores = 4 * largest(layers.map((sizes) => terms.scoredValues(sizes)));
  const blocks = largest(layers.map((sizes, layer) => blockBytes(terms, sizes, terms.fitWidth(layer, sizes), batches)));
  const slice = Math.min(VOCABULARY_PER_PRODUCT, V);
  const rows = terms.headRows(tokens);
  const ends = 4 * (2 * slice * D + 2 * Math.min(ROWS_PER_PRODUCT, rows) * slice + rows * D);
  return program + states + scores + Math.max(blocks, ends);
}

/** `blocks` of the formula, for one layer. @param n the width of the layer's fit. */
function blockBytes({ sums, maps, pairs }: StageTerms, sizes: BlockSizes, n: number, batches: readonly BatchShape[]): number {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = sizes;
  const fits = sums > 0;
  const weights = 4 * parametersOf(sizes);
  const garbage = Math.max(2 * Math.min(weights, MAX_GARBAGE_BYTES), fits ? MIN_FIT_GARBAGE_BYTES : 0);
  const batch = largest(
    batches.map(({ documents, length: T }) => {
      const attention = 2 * (H + 2 * G) * K + pairs * H * K + maps * H * T;
      return 4 * documents.length * T * (6 * D + Math.max(attention, 3 * F));
    }),
  );
  const fit = fits ? fitBytes(sums, n, D) : 0;
  return (fits ? 3 : 1) * weights + garbage + Math.max(4 * D * F, batch + fit);
}

/** `fit` of the formula. */
function fitBytes(sums: number, n: number, D: number): number {
  const waiting = sums * CHUNK_TOKENS * (n + D);
  return 4 * (((sums + 1) * n * (n + MAX_BLOCK)) / 2 + (sums + 4) * n * D + waiting + FIT_ROWS * n);
}

/** W: parameters of a block's matrices; its vectors are negligible. */
export function parametersOf({
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
