/**
 * @file The goldens of tests/reference/make_forward_goldens.py: tiny models of all families with transformers' hidden
 * states, logits, losses and brute-force relevances.
 */

import { join } from "node:path";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { openSafetensors } from "../../src/checkpoint/safetensors/open-safetensors.ts";
import { SafetensorsFile } from "../../src/checkpoint/safetensors/read.ts";
import type { TokenDocument } from "../../src/corpora/corpus.ts";
import { forward } from "../../src/model/forward.ts";
import { computeLogits } from "../../src/model/output-head.ts";

const FIXTURES = join(import.meta.dirname, "..", "fixtures", "tiny");

/** Folders of the tiny models. */
export const TINY_MODELS = ["llama", "mistral", "qwen2", "qwen3", "gemma3_text"] as const;

/** Layers whose relevances are in the goldens; Gemma's layer 5 is its only one with full attention. */
export const RELEVANCE_LAYERS: Readonly<Record<(typeof TINY_MODELS)[number], readonly number[]>> = {
  llama: [1],
  mistral: [1],
  qwen2: [1],
  qwen3: [1],
  gemma3_text: [1, 5],
};

/** Path of a tiny model. */
export function tinyModelPath(name: string): string {
  return join(FIXTURES, name);
}

/** A tiny model, its documents and a reader of its goldens. */
export interface TinyGoldens {
  readonly checkpoint: Checkpoint;
  readonly documents: readonly TokenDocument[];
  golden(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Opens a tiny model and its goldens. */
export async function openTinyGoldens(name: string): Promise<TinyGoldens> {
  const checkpoint = await openSafetensors(tinyModelPath(name));
  const file = await SafetensorsFile.open(join(FIXTURES, name, "goldens.safetensors"));
  const documents: TokenDocument[] = [];
  for (let index = 0; file.tensors.has(`${index}.tokens`); index++) {
    const tokens = Int32Array.from(await file.readFloat32(`${index}.tokens`));
    documents.push({ tokens, byteLength: tokens.length, source: `golden:${index}` });
  }
  return {
    checkpoint,
    documents,
    golden: (tensor) => file.readFloat32(tensor),
    close: async () => {
      await checkpoint.close();
      await file.close();
    },
  };
}

/** Logits of one document in cusprun's own forward pass, [T · V]. */
export async function ourLogits(checkpoint: Checkpoint, ids: readonly number[]): Promise<number[]> {
  const document: TokenDocument = { tokens: Int32Array.from(ids), byteLength: ids.length, source: "test" };
  const [states] = await forward(checkpoint, [document], "test", {});
  return [...(await computeLogits(checkpoint, states!, {}))];
}

/** Largest |a − b|, relative to the largest |b|. */
export function worstRelativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let largest = 0;
  for (let index = 0; index < expected.length; index++) {
    difference = Math.max(difference, Math.abs(actual[index]! - expected[index]!));
    largest = Math.max(largest, Math.abs(expected[index]!));
  }
  return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference / largest;
}
