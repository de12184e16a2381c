/**
 * @file The layer program: pushes every batch's hidden states through one decoder block after the other. Layer-major: a layer's weights
 * are read, used for all batches and released, so that memory is one layer and the hidden states, whatever the model's size.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { FAMILIES, blockTensorName } from "../checkpoint/families.ts";
import type { BlockRole } from "../checkpoint/families.ts";
import type { LayerType } from "../checkpoint/model-config.ts";
import type { JobOptions } from "../progress.ts";
import { pause } from "../progress.ts";
import type { Batch } from "./batches.ts";
import { buildBlockGraph } from "./block-graph.ts";
import { weightShape } from "./block-shape.ts";
import type { EnergyRequest } from "./block-energies.ts";
import type { BlockShape } from "./block-shape.ts";
import { attentionMask, ropeTable } from "./rope.ts";
import { GraphSession } from "./sessions.ts";
import type { Feed } from "./sessions.ts";

/** Weights of one block as they are fed, by role; norms with the family's offset added. */
export type BlockWeights = ReadonlyMap<BlockRole, Feed>;

/** What a block put out for one batch, by name; see `ENERGY_OUTPUTS` for the shapes. */
export type BatchEnergies = Readonly<Record<string, Float32Array>>;

/** Hands out the hidden states and weights of a checkpoint's layers, in order. */
export class LayerProgram {
  readonly #checkpoint: Checkpoint;
  readonly #batches: readonly Batch[];
  readonly #request: EnergyRequest;
  readonly #sessions = new Map<string, GraphSession>();
  readonly #positions = new Map<string, Readonly<Record<string, Feed>>>();

  constructor(checkpoint: Checkpoint, batches: readonly Batch[], request: EnergyRequest) {
    this.#checkpoint = checkpoint;
    this.#batches = batches;
    this.#request = request;
  }

  /** Reads a block's weights as f32. */
  async readWeights(layer: number): Promise<{ readonly shape: BlockShape; readonly weights: BlockWeights }> {
    const { config, tensors } = this.#checkpoint;
    const family = FAMILIES[config.family];
    const roles = [...family.requiredRoles, ...family.optionalRoles].filter((role) =>
      tensors.has(blockTensorName(family, layer, role)),
    );
    const shape: BlockShape = {
      hiddenSize: config.hiddenSize,
      intermediateSize: config.intermediateSize,
      numAttentionHeads: config.numAttentionHeads,
      numKeyValueHeads: config.numKeyValueHeads,
      headDim: config.headDim,
      rmsNormEps: config.rmsNormEps,
      hiddenActivation: config.hiddenActivation,
      attentionScale: config.attentionScale,
      roles,
    };
    const weights = new Map<BlockRole, Feed>();
    for (const role of roles) {
      const data = await this.#checkpoint.readFloat32(blockTensorName(family, layer, role));
      weights.set(role, { data: NORM_ROLES.has(role) ? withOffset(data, family.normOffset) : data, shape: weightShape(role, shape) });
    }
    return { shape, weights };
  }

  /**
   * Runs one block over every batch. `states[b]` is replaced by the block's output.
   * @param states hidden states [B, T, D] per batch.
   * @param extraFeeds inputs that the asked-for energies need.
   * @param onBatch receives each batch's energies.
   */
  async runLayer(
    layer: number,
    block: { readonly shape: BlockShape; readonly weights: BlockWeights },
    states: Float32Array<ArrayBuffer>[],
    extraFeeds: Readonly<Record<string, Feed>>,
    onBatch: (batch: Batch, energies: BatchEnergies) => void,
    options: JobOptions,
  ): Promise<void> {
    const session = await this.#session(block.shape);
    for (const [index, batch] of this.#batches.entries()) {
      await pause(options.signal);
      const rows = batch.documents.length;
      const { y, ...energies } = await session.run({
        x: { data: states[index]!, shape: [rows, batch.length, block.shape.hiddenSize] },
        tokenMask: { data: batch.mask, shape: [rows, batch.length] },
        ...this.#positionFeeds(this.#checkpoint.config.layerTypes[layer]!, batch.length),
        ...Object.fromEntries(block.weights),
        ...extraFeeds,
      });
      states[index] = y!;
      onBatch(batch, energies);
    }
  }

  /** Frees the sessions. */
  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await session.close();
    this.#sessions.clear();
  }

  async #session(shape: BlockShape): Promise<GraphSession> {
    const key = JSON.stringify(shape);
    let session = this.#sessions.get(key);
    if (session === undefined) {
      session = await GraphSession.create(buildBlockGraph(shape, this.#request));
      this.#sessions.set(key, session);
    }
    return session;
  }

  #positionFeeds(type: LayerType, length: number): Readonly<Record<string, Feed>> {
    const key = `${type}:${length}`;
    let feeds = this.#positions.get(key);
    if (feeds === undefined) {
      const { rope, headDim, slidingWindow } = this.#checkpoint.config;
      const { cos, sin } = ropeTable(rope[type], headDim, length);
      const mask = attentionMask(length, type === "sliding_attention" ? slidingWindow : null);
      feeds = {
        cos: { data: cos, shape: [length, headDim / 2] },
        sin: { data: sin, shape: [length, headDim / 2] },
        attentionMask: { data: mask, shape: [length, length] },
      };
      this.#positions.set(key, feeds);
    }
    return feeds;
  }
}

const NORM_ROLES: ReadonlySet<BlockRole> = new Set([
  "attentionNorm",
  "ffnNorm",
  "qNorm",
  "kNorm",
  "postAttentionNorm",
  "postFfnNorm",
]);

/** Norm weights as they are applied. */
export function withOffset(weights: Float32Array<ArrayBuffer>, offset: number): Float32Array<ArrayBuffer> {
  return offset === 0 ? weights : weights.map((weight) => weight + offset);
}
