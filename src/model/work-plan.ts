/**
 * @file Counts the work of a stage from the model's sizes and the documents' lengths. With the machine's rates it gives
 * the stage's time. Background: docs/architecture.md, "Time". A multiply-add is two operations; symbols as in
 * tensor.ts, and B·T the tokens of a batch with its padding:
 *
 *     block     = 2·W·Σ B·T + 4·H·K·Σ B·T²          products of a block, and of its attention, in f32
 *     head      = 2·M·D·V                           of M rows with the output head, in f32
 *     sums      = Σ B·T·n·(n + 2·D)                 lower triangle of a Gram matrix, and products with a target, in f32
 *     solve     = n³/3 + 2·n²·D                     a Cholesky factorisation, and solving with it, in f32
 *     reading   = W for a block, D·V for the head   values of the checkpoint that are read as f32
 *
 *     W         parameters of a block's matrices
 *     n         width of a fitted matrix, D its outputs
 */

import { blockSizes, type BlockSizes } from "../checkpoint/check-tensors.ts";
import type { LayerSizes, ModelConfig } from "../checkpoint/config/model-config.ts";
import { type BatchShape, MAX_BATCH_TOKENS, planBatches } from "./batches.ts";
import { MAX_PROJECTED, MAX_TARGETS, parametersOf } from "./memory-plan.ts";

/**
 * Kinds of work, each with a rate of its own.
 *
 * - `scoring`: products of blocks whose graph outputs the requested energies as well
 * - `block`, `head`, `sums`, `solve`, `reading`: as above
 * - `damage`: products with the output head from which divergences are computed
 */
export const WORK_KINDS = ["scoring", "block", "head", "damage", "sums", "solve", "reading"] as const;

/** A kind of work. */
export type WorkKind = (typeof WORK_KINDS)[number];

/** Amounts of work: operations, and values for `reading`. A kind that is left out does not occur. */
export type Work = Readonly<Partial<Record<WorkKind, number>>>;

/** Amounts of work per second. */
export type Speed = Readonly<Record<WorkKind, number>>;

/** A stage and what it runs on. */
export type WorkRequest = {
  readonly config: ModelConfig;
  /** Tokens of each document. */
  readonly lengths: readonly number[];
} & (
  | {
      readonly stage: "scoring";
      /** Positions whose predictions are read, for each dimension; none if tokens are not scored. */
      readonly positions: readonly number[];
    }
  | { readonly stage: "measuring" }
  /** `expert`: the sizes of the cut layers; `kept`: whether scoring has kept the dense model's states. */
  | { readonly stage: "repairing"; readonly expert: Pick<ModelConfig, "layerSizes">; readonly kept: boolean }
  | {
      readonly stage: "trying cuts";
      /** Tokens of each document that a trial's output matrix is fitted on; none if trials are not repaired. */
      readonly fitted: readonly number[];
      /** The sizes of the layer that each trial cuts, and which layer it is. */
      readonly trials: readonly { readonly layer: number; readonly sizes: LayerSizes }[];
    }
);

/** The seconds that work takes. */
export function secondsOf(work: Work, speed: Speed): number {
  return sum(WORK_KINDS.map((kind) => (work[kind] ?? 0) / speed[kind]));
}

/**
 * The work of a stage.
 * @param batchTokens of `planMemory`.
 */
export function planWork(request: WorkRequest, batchTokens: number = MAX_BATCH_TOKENS): Work {
  const { config, lengths } = request;
  const batches = planBatches(lengths, batchTokens);
  const layers = config.layerSizes.map((_, layer) => blockSizes(config, layer));
  const blocks = sum(layers.map((sizes) => blockWork(sizes, batches)));
  const weights = sum(layers.map(parametersOf));
  const vocabulary = config.hiddenSize * config.vocabSize;
  switch (request.stage) {
    case "scoring": {
      // The predictions of a dimension need the head twice: for the sums of exponentials, and for the shares of them.
      const rows = 2 * sum(request.positions);
      const passes = 2 * request.positions.length;
      return { scoring: blocks, head: 2 * rows * vocabulary, reading: weights + (1 + passes) * vocabulary };
    }
    case "measuring": {
      // The last token of a document predicts nothing.
      const inputs = lengths.map((length) => length - 1);
      const rows = sum(inputs);
      const passes = Math.ceil(rows / MAX_TARGETS);
      return {
        block: sum(layers.map((sizes) => blockWork(sizes, planBatches(inputs, batchTokens)))),
        head: 2 * rows * vocabulary,
        reading: weights + (1 + passes) * vocabulary,
      };
    }
    case "trying cuts":
      return trialWork(request, layers, batches, batchTokens);
    case "repairing": {
      const cut = layers.map((sizes, layer) => ({ ...sizes, ...request.expert.layerSizes[layer]! }));
      const repairs = cut.map((sizes) => repairWork(sizes, batches));
      const attention = sum(layers.map((sizes) => attentionWork(sizes, batches)));
      return addUp([...repairs, { block: request.kept ? attention : blocks, reading: weights + vocabulary }]);
    }
    default:
      throw request satisfies never;
  }
}

/** Operations of one block on all batches. */
export function blockWork(sizes: BlockSizes, batches: readonly BatchShape[]): number {
  const { numAttentionHeads: H, headDim: K } = sizes;
  const tokens = tokensOf(batches);
  const pairs = sum(batches.map(({ documents, length }) => documents.length * length ** 2));
  return 2 * parametersOf(sizes) * tokens + 4 * H * K * pairs;
}

/** Operations of the attention of one block on all batches. */
function attentionWork(sizes: BlockSizes, batches: readonly BatchShape[]): number {
  return blockWork(sizes, batches) - 6 * sizes.hiddenSize * sizes.intermediateSize * tokensOf(batches);
}

/** Operations of the sums over the batches of a matrix of n inputs and D outputs, a factorization and a solve. */
function fitWork(n: number, D: number, batches: readonly BatchShape[]): Work {
  return { sums: tokensOf(batches) * n * (n + 2 * D), solve: n ** 3 / 3 + 2 * n ** 2 * D };
}

/** Strengths that are tried for a fit, in the mean. */
const STRENGTHS_PER_FIT = 2;
/** Products with the projected outputs for each: a solve, an error and its slope. */
const PRODUCTS_PER_STRENGTH = 3;

/** `fitWork` with the search of a strength before it. */
function searchedFitWork(n: number, D: number, batches: readonly BatchShape[]): Work {
  const columns = PRODUCTS_PER_STRENGTH * Math.min(D, MAX_PROJECTED);
  return addUp([fitWork(n, D, batches), { solve: STRENGTHS_PER_FIT * (n ** 3 / 3 + 2 * n ** 2 * columns) }]);
}

/**
 * The work of repairing one layer of the expert, without the dense layer that runs beside it: the inputs of both
 * sublayers and `down` are fitted, and `o` where the attention was cut.
 * @param sizes of the cut layer.
 */
function repairWork(sizes: BlockSizes, batches: readonly BatchShape[]): Work {
  const { hiddenSize: D, intermediateSize: F } = sizes;
  const fits = [D, D, F].map((n) => searchedFitWork(n, D, batches));
  return addUp([{ block: blockWork(sizes, batches), reading: parametersOf(sizes) }, ...fits]);
}

/**
 * All trials go through the layers behind theirs together with the dense model; the damage is read batch by batch, and
 * the head once for each.
 */
function trialWork(
  { config, lengths, fitted, trials }: Extract<WorkRequest, { readonly stage: "trying cuts" }>,
  layers: readonly BlockSizes[],
  batches: readonly BatchShape[],
  batchTokens: number,
): Work {
  const { hiddenSize: D, vocabSize: V } = config;
  const fitBatches = planBatches(fitted, batchTokens);
  const cutBlocks = trials.map(({ layer, sizes }): Work => {
    const cut = { ...layers[layer]!, ...sizes };
    const narrower = cut.intermediateSize < layers[layer]!.intermediateSize;
    const n = narrower ? cut.intermediateSize : cut.numAttentionHeads * cut.headDim;
    const behind = layers.slice(layer + 1).map((each) => blockWork(each, batches));
    const own = { block: blockWork(cut, batches) + sum(behind), reading: parametersOf(layers[layer]!) };
    if (fitted.length === 0) return own;
    return addUp([own, { block: blockWork(cut, fitBatches) }, fitWork(n, D, fitBatches)]);
  });
  const dense = layers.map((sizes): Work => ({
    block: blockWork(sizes, batches) + blockWork(sizes, fitBatches),
    reading: parametersOf(sizes),
  }));
  const damage = {
    damage: 2 * (trials.length + 1) * sum(lengths) * D * V,
    reading: (1 + batches.length) * D * V,
  };
  return addUp([...cutBlocks, ...dense, damage]);
}

function addUp(works: readonly Work[]): Work {
  const total: Partial<Record<WorkKind, number>> = {};
  for (const work of works) for (const kind of WORK_KINDS) total[kind] = (total[kind] ?? 0) + (work[kind] ?? 0);
  return total;
}

function tokensOf(batches: readonly BatchShape[]): number {
  return sum(batches.map(({ documents, length }) => documents.length * length));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
