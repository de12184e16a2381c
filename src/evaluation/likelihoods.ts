/**
 * @file Requests → log-likelihoods, by the layer program: all requests go through the model layer by layer, so that
 * models larger than memory can be evaluated, and each layer's weights are read once.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import type { Batch } from "../model/batches.ts";
import { forwardStates, type ForwardStates } from "../model/forward.ts";
import { type LayeredJobOptions, NO_JOURNAL } from "../model/layer-journal.ts";
import { MAX_TARGETS } from "../model/memory-plan.ts";
import { computeLosses } from "../model/output-head.ts";
import type { LikelihoodRequest } from "./requests.ts";

/** The place of the hidden states that predict a request's targets. */
export interface AskedRequest {
  readonly request: number;
  /** Index of the batch. */
  readonly batch: number;
  /** One past the last of its rows, [B·T]. */
  readonly end: number;
}

/**
 * Log-likelihood of each request's targets, in nats, summed.
 * @param stage name of this stage in progress events.
 * @param maxTargets tokens that go through the output head together; the head's weights are read once for each such
 *   group.
 * @throws CusprunError the errors of `forwardStates`.
 */
export async function sumLogLikelihoods(
  checkpoint: Checkpoint,
  requests: readonly LikelihoodRequest[],
  stage: string,
  { journal = NO_JOURNAL, ...options }: LayeredJobOptions,
  maxTargets: number = MAX_TARGETS,
): Promise<Float64Array> {
  const results = new Float64Array(requests.length);
  if (requests.length === 0) return results;
  const { inputs, askedOf } = shareInputs(requests);
  const documents = inputs.map((tokens): TokenDocument => ({ tokens, byteLength: 0, source: "" }));
  const forward = await forwardStates(checkpoint, documents, stage, { ...options, journal });
  try {
    const asked = forward.batches.flatMap((batch, number) => placeRequests(batch, number, inputs, askedOf));
    for (const [index, group] of groupRequests(asked, requests, maxTargets).entries()) {
      const read = async (): Promise<{ sums: Float64Array<ArrayBuffer> }> => ({
        sums: await readGroup(checkpoint, requests, group, forward, options),
      });
      const { sums } = await journal.step(checkpoint.config.numHiddenLayers + index, read, null);
      for (const [position, { request }] of group.entries()) results[request] = sums[position]!;
    }
    const total = checkpoint.config.numHiddenLayers * inputs.reduce((sum, { length }) => sum + length, 0);
    options.onProgress?.({ stage, done: total, total, unit: "layer tokens" });
  } finally {
    await forward.states.close();
  }
  return results;
}

/** Requests with the same input (such as letters as choices) share it. */
export function shareInputs(requests: readonly LikelihoodRequest[]): {
  readonly inputs: readonly Int32Array[];
  /** Requests of each input. */
  readonly askedOf: readonly (readonly number[])[];
} {
  const known = new Map<string, number>();
  const inputs: Int32Array[] = [];
  const askedOf: number[][] = [];
  for (const [request, { input }] of requests.entries()) {
    const key = input.join(",");
    const index = known.get(key) ?? inputs.push(input) - 1;
    known.set(key, index);
    (askedOf[index] ??= []).push(request);
  }
  return { inputs, askedOf };
}

function placeRequests(
  { documents, length }: Batch,
  batch: number,
  inputs: readonly Int32Array[],
  askedOf: readonly (readonly number[])[],
): AskedRequest[] {
  return documents.flatMap((input, row) =>
    askedOf[input]!.map((request) => ({ request, batch, end: row * length + inputs[input]!.length })),
  );
}

/** Splits requests, in their order, into groups of at most so many targets, unless one request alone has more. */
export function groupRequests(
  asked: readonly AskedRequest[],
  requests: readonly LikelihoodRequest[],
  maxTargets: number,
): readonly (readonly AskedRequest[])[] {
  const groups: AskedRequest[][] = [];
  let count = Number.POSITIVE_INFINITY;
  for (const each of asked) {
    const own = requests[each.request]!.targets.length;
    count += own;
    if (count > maxTargets) {
      groups.push([]);
      count = own;
    }
    groups.at(-1)!.push(each);
  }
  return groups;
}

/** Sums of the log-likelihoods of a group's requests, in their order. */
async function readGroup(
  checkpoint: Checkpoint,
  requests: readonly LikelihoodRequest[],
  group: readonly AskedRequest[],
  { states }: ForwardStates,
  options: JobOptions,
): Promise<Float64Array<ArrayBuffer>> {
  const { hiddenSize: D } = checkpoint.config;
  const count = group.reduce((sum, { request }) => sum + requests[request]!.targets.length, 0);
  const rows = new Float32Array(count * D);
  const targets = new Int32Array(count);
  let first = 0;
  let current = -1;
  let own = new Float32Array();
  for (const { request, batch, end } of group) {
    if (current !== batch) own = await states.get(batch);
    current = batch;
    const wanted = requests[request]!.targets;
    rows.set(own.subarray((end - wanted.length) * D, end * D), first * D);
    targets.set(wanted, first);
    first += wanted.length;
  }
  const losses = await computeLosses(checkpoint, rows, targets, options);
  first = 0;
  return Float64Array.from(group, ({ request }) => {
    const end = first + requests[request]!.targets.length;
    const sum = -losses.subarray(first, end).reduce((total, loss) => total + loss, 0);
    first = end;
    return sum;
  });
}
