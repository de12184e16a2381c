/**
 * @file The layer program: pushes every batch's hidden states through one decoder block after the other. Layer-major: a
 * layer's weights are read, used for all batches and released, so that memory holds one layer and the hidden states,
 * whatever the model's size. Design: docs/architecture.md, "One layer at a time".
 */

import { blockTensorShape } from "../checkpoint/check-tensors.ts";
import { blockTensorName, familyNamed } from "../families/index.ts";
import { type BlockRole, isNormRole } from "../families/roles.ts";
import type { LayerType } from "../checkpoint/config/model-config.ts";
import type { Device } from "../device.ts";
import type { JobOptions } from "../progress.ts";
import { pause } from "../progress.ts";
import type { Batch } from "./batches.ts";
import { buildBlockGraph } from "./block-graph.ts";
import type { BlockRequest } from "./block-request.ts";
import { blockShapeOf, type BlockShape, type ModelTensors } from "./block-shape.ts";
import type { HiddenStates } from "./hidden-states.ts";
import { withOffset } from "./norm-weights.ts";
import { OutputBuffers } from "./output-buffers.ts";
import { ropeTable } from "./rope.ts";
import { GraphSession } from "./sessions.ts";
import type { Feed } from "./sessions.ts";

/** Weights of one block as they are fed, by role; norms with the family's offset added. */
export type BlockWeights = ReadonlyMap<BlockRole, Feed>;

/** A block's shape and weights. */
export interface Block {
  readonly shape: BlockShape;
  readonly weights: BlockWeights;
}

/**
 * What a block outputs for one batch in addition to `y`, by name; see `BlockRequest`. The arrays are reused for the
 * next batch.
 */
export type BlockOutputs = Readonly<Record<string, Float32Array<ArrayBuffer>>>;

/** Where weights come from: a checkpoint, or an expert that has not been written yet. */
export interface WeightSource extends ModelTensors {
  /** Values in f32, row-major. */
  readFloat32(name: string): Promise<Float32Array<ArrayBuffer>>;
}

/** Runs the blocks of a model, one layer at a time, over batches of documents. */
export class LayerProgram {
  readonly #source: WeightSource;
  readonly #batches: readonly Batch[];
  readonly #request: BlockRequest;
  readonly #sessions = new Map<string, GraphSession>();
  readonly #positions = new Map<string, Readonly<Record<string, Feed>>>();

  constructor(source: WeightSource, batches: readonly Batch[], request: BlockRequest) {
    this.#source = source;
    this.#batches = batches;
    this.#request = request;
  }

  /** Reads a block's weights as f32. */
  async readWeights(layer: number): Promise<Block> {
    const family = familyNamed(this.#source.config.family);
    const shape = blockShapeOf(this.#source, layer);
    const weights = new Map<BlockRole, Feed>();
    for (const role of shape.roles) {
      const data = await this.#source.readFloat32(blockTensorName(family, layer, role));
      weights.set(role, {
        data: isNormRole(role) ? withOffset(data, family.normOffset) : data,
        shape: blockTensorShape(role, shape),
      });
    }
    return { shape, weights };
  }

  /**
   * Runs one block over every batch.
   * @param from the residual stream that the request starts at.
   * @param to receives `y`, and may be `from`; null for a request that does not output it.
   * @param extraFeeds further inputs that the request needs, by the batch's number.
   * @param onBatch receives the other outputs, batch by batch.
   */
  async runLayer(
    layer: number,
    block: Block,
    from: HiddenStates,
    to: HiddenStates | null,
    extraFeeds: (number: number) => Readonly<Record<string, Feed>> | Promise<Readonly<Record<string, Feed>>>,
    onBatch: (batch: Batch, outputs: BlockOutputs, number: number) => void | Promise<void>,
    options: JobOptions,
  ): Promise<void> {
    const session = await this.#session(block.shape, options.device);
    const buffers = new OutputBuffers(this.#batches, block.shape, this.#request);
    for (const [index, batch] of this.#batches.entries()) {
      await pause(options.signal);
      const rows = batch.documents.length;
      const feeds = {
        x: { data: await from.get(index), shape: [rows, batch.length, block.shape.hiddenSize] },
        tokenMask: { data: batch.mask, shape: [rows, batch.length] },
        ...this.#positionFeeds(this.#source.config.layerTypes[layer]!, batch.length),
        ...Object.fromEntries(block.weights),
        ...(await extraFeeds(index)),
      };
      const { y, ...outputs } = await session.run(feeds, undefined, buffers.of(batch));
      if (y !== undefined) await to?.set(index, y);
      await onBatch(batch, outputs, index);
    }
  }

  /** Frees the sessions. */
  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await session.close();
    this.#sessions.clear();
  }

  async #session(shape: BlockShape, device: Device | undefined): Promise<GraphSession> {
    const key = JSON.stringify(shape);
    let session = this.#sessions.get(key);
    if (session === undefined) {
      session = await GraphSession.create(buildBlockGraph(shape, this.#request, device), device);
      this.#sessions.set(key, session);
    }
    return session;
  }

  #positionFeeds(type: LayerType, length: number): Readonly<Record<string, Feed>> {
    const key = `${type}:${length}`;
    let feeds = this.#positions.get(key);
    if (feeds === undefined) {
      const { rope, headDim } = this.#source.config;
      const { cos, sin } = ropeTable(rope[type], headDim, length);
      feeds = {
        cos: { data: cos, shape: [length, headDim / 2] },
        sin: { data: sin, shape: [length, headDim / 2] },
      };
      this.#positions.set(key, feeds);
    }
    return feeds;
  }
}
