/**
 * @file Requests → log-likelihoods, by the layer program: all requests go through the model layer by layer, so that models larger than
 * memory can be evaluated. As many go together as their hidden states fit a limit; each such chunk reads the weights once.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import { forward } from "../scoring/forward.ts";
import { computeLosses } from "../scoring/output-head.ts";
import type { LikelihoodRequest } from "./requests.ts";

/** Bytes of the hidden states of a chunk, unless one input alone has more: beside these only a layer's weights and a batch's activations. */
const MAX_HIDDEN_BYTES: number = 2 ** 30;
/** `forward` holds an input's hidden states twice when it ends: in its batch, and taken out of it. */
const COPIES_OF_INPUT = 2;

/** Inputs that are run together, and who asks for them. Requests with the same input (letters as choices) share one. */
interface Chunk {
  readonly inputs: Int32Array[];
  /** Request's index and its input's. */
  readonly asked: { readonly request: number; readonly input: number }[];
}

/**
 * Log-likelihood of each request's targets, in nats, summed.
 * @param stage what progress events call this.
 * @throws CusprunError what `Checkpoint.readFloat32` throws.
 */
export async function sumLogLikelihoods(
  checkpoint: Checkpoint,
  requests: readonly LikelihoodRequest[],
  stage: string,
  { onProgress, signal }: JobOptions,
  maxHiddenBytes: number = MAX_HIDDEN_BYTES,
): Promise<Float64Array> {
  const { hiddenSize: D, numHiddenLayers: L } = checkpoint.config;
  const chunks = planChunks(requests, D * Float32Array.BYTES_PER_ELEMENT, maxHiddenBytes);
  const total = L * chunks.reduce((sum, chunk) => sum + tokensOf(chunk), 0);
  let before = 0;
  const results = new Float64Array(requests.length);
  for (const chunk of chunks) {
    const options: JobOptions = {
      ...(signal === undefined ? {} : { signal }),
      onProgress: (event) => onProgress?.({ ...event, done: before + event.done, total }),
    };
    await runChunk(checkpoint, requests, chunk, stage, options, results);
    before += L * tokensOf(chunk);
  }
  return results;
}

/**
 * Parts requests into chunks of inputs of like length, longest first; equal inputs stand beside each other in that order.
 * @param tokenBytes hidden state of one token.
 */
export function planChunks(requests: readonly LikelihoodRequest[], tokenBytes: number, maxHiddenBytes: number): readonly Chunk[] {
  const order = requests
    .map((_, index) => index)
    .toSorted((a, b) => requests[b]!.input.length - requests[a]!.input.length || a - b);
  const chunks: Chunk[] = [];
  let known = new Map<string, number>();
  let bytes = Number.POSITIVE_INFINITY;
  for (const request of order) {
    const { input, targets } = requests[request]!;
    const key = input.join(",");
    const whole = (COPIES_OF_INPUT * input.length + targets.length) * tokenBytes;
    bytes += known.has(key) ? targets.length * tokenBytes : whole;
    if (bytes > maxHiddenBytes) {
      chunks.push({ inputs: [], asked: [] });
      known = new Map();
      bytes = whole;
    }
    const { inputs, asked } = chunks.at(-1)!;
    const index = known.get(key) ?? inputs.push(input) - 1;
    known.set(key, index);
    asked.push({ request, input: index });
  }
  return chunks;
}

async function runChunk(
  checkpoint: Checkpoint,
  requests: readonly LikelihoodRequest[],
  { inputs, asked }: Chunk,
  stage: string,
  options: JobOptions,
  results: Float64Array,
): Promise<void> {
  const { hiddenSize: D } = checkpoint.config;
  const documents = inputs.map((tokens): TokenDocument => ({ tokens, byteLength: 0, source: "" }));
  const states = await forward(checkpoint, documents, stage, options);
  const count = asked.reduce((sum, { request }) => sum + requests[request]!.targets.length, 0);
  const rows = new Float32Array(count * D);
  const targets = new Int32Array(count);
  let first = 0;
  for (const { request, input } of asked) {
    const own = requests[request]!.targets;
    rows.set(states[input]!.subarray(-own.length * D), first * D);
    targets.set(own, first);
    first += own.length;
  }
  const losses = await computeLosses(checkpoint, rows, targets, options);
  first = 0;
  for (const { request } of asked) {
    const end = first + requests[request]!.targets.length;
    results[request] = -losses.subarray(first, end).reduce((sum, loss) => sum + loss, 0);
    first = end;
  }
}

function tokensOf({ inputs }: Chunk): number {
  return inputs.reduce((sum, input) => sum + input.length, 0);
}
