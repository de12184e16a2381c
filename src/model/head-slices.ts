/**
 * @file The model's last step, final norm and output head, in slices of the vocabulary and of the rows, so that neither
 * the head nor the logits of many tokens are in memory at once.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { familyNamed, modelTensorName } from "../families/index.ts";
import type { JobOptions } from "../progress.ts";
import { pause } from "../progress.ts";
import { withOffset } from "./norm-weights.ts";
import { OnnxGraph, type Value } from "./onnx-graph.ts";
import { GraphSession } from "./sessions.ts";
import type { Feed } from "./sessions.ts";

/** Tokens of the vocabulary in one product. */
export const VOCABULARY_PER_PRODUCT = 8192;
/** Rows in one product: 1024 · 8192 logits are 32 MiB. */
export const ROWS_PER_PRODUCT = 1024;

/** A computation on the logits of a slice of the rows and of the vocabulary. */
export interface HeadGraph {
  /** Inputs in addition to the rows and the head: name → shape. `target` is i64, the others f32. */
  readonly inputs?: Readonly<Record<string, readonly (number | string)[]>>;
  readonly outputs: Readonly<Record<string, (logits: Value, graph: OnnxGraph, inputs: Readonly<Record<string, Value>>) => Value>>;
  readonly feed?: (firstRow: number, rowCount: number, start: number, end: number) => Readonly<Record<string, Feed>>;
}

/**
 * Runs final norm, head and a computation for each slice of the vocabulary (outer loop) and of the rows (inner loop).
 * @param states hidden states after the last block, before the final norm, [M, D].
 * @param onSlice receives the outputs for rows from `firstRow` on and tokens `[start, end)`.
 */
export async function runHead(
  checkpoint: Checkpoint,
  states: Float32Array<ArrayBuffer>,
  headGraph: HeadGraph,
  options: JobOptions,
  onSlice: (values: Readonly<Record<string, Float32Array>>, firstRow: number, start: number, end: number) => void,
): Promise<void> {
  const { hiddenSize: D, rmsNormEps } = checkpoint.config;
  const session = await GraphSession.create(buildHeadGraph(D, rmsNormEps, headGraph), options.device);
  const rowCount = states.length / D;
  try {
    await forEachHeadSlice(checkpoint, async ({ head, norm, start, end }) => {
      for (let first = 0; first < rowCount; first += ROWS_PER_PRODUCT) {
        await pause(options.signal);
        const count = Math.min(ROWS_PER_PRODUCT, rowCount - first);
        const x: Feed = { data: states.subarray(first * D, (first + count) * D), shape: [count, D] };
        onSlice(await session.run({ x, norm, head, ...headGraph.feed?.(first, count, start, end) }), first, start, end);
      }
    });
  } finally {
    await session.close();
  }
}

/** A slice of the vocabulary: rows `[start, end)` of the head, and the final norm as it is applied. */
export interface HeadSlice {
  readonly head: Feed;
  readonly norm: Feed;
  readonly start: number;
  readonly end: number;
}

/** Reads the head slice by slice of the vocabulary. */
export async function forEachHeadSlice(checkpoint: Checkpoint, work: (slice: HeadSlice) => Promise<void>): Promise<void> {
  const { hiddenSize: D, vocabSize: V, family } = checkpoint.config;
  const normWeight = await checkpoint.readFloat32(modelTensorName(familyNamed(family), "finalNorm"));
  const norm: Feed = { data: withOffset(normWeight, familyNamed(family).normOffset), shape: [D] };
  const name = outputHeadName(checkpoint);
  for (let start = 0; start < V; start += VOCABULARY_PER_PRODUCT) {
    const end = Math.min(V, start + VOCABULARY_PER_PRODUCT);
    await work({ head: { data: await checkpoint.readFloat32(name, { start, end }), shape: [end - start, D] }, norm, start, end });
  }
}

/** Name of the output head's tensor: the embedding if the two are tied. */
function outputHeadName(checkpoint: Checkpoint): string {
  const family = familyNamed(checkpoint.config.family);
  const head = modelTensorName(family, "outputHead");
  return checkpoint.tensors.has(head) ? head : modelTensorName(family, "embedding");
}

function buildHeadGraph(D: number, epsilon: number, { inputs = {}, outputs }: HeadGraph): Uint8Array {
  const graph = new OnnxGraph();
  const x = graph.input("x", ["M", D]);
  const norm = graph.input("norm", [D]);
  const head = graph.input("head", ["N", D]);
  const more = Object.fromEntries(
    Object.entries(inputs).map(([name, shape]) => [name, graph.input(name, shape, name === "target" ? "i64" : "f32")]),
  );
  const logits = graph.linear(graph.rmsNorm(x, norm, epsilon), head);
  for (const [name, build] of Object.entries(outputs)) {
    graph.output(name, build(logits, graph, more), [`${name} rows`, `${name} columns`]);
  }
  return graph.serialize();
}
