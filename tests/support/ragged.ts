/**
 * @file Tiny models cut to layers of different sizes, and greedy decoding with the plain reference.
 */

import type { TokenizerFiles } from "../../src/checkpoint/checkpoint.ts";
import { writeHuggingFaceFolder } from "../../src/export/hugging-face/write-hugging-face.ts";
import { cutExpert } from "../../src/surgery/expert.ts";
import type { Expert } from "../../src/surgery/expert.ts";
import { cardInput } from "./cards.ts";
import { planOf } from "./plans.ts";
import type { Removed } from "./plans.ts";
import { referenceLogits } from "./reference-forward.ts";
import type { ReferenceTensor } from "./reference-forward.ts";
import { tinyCheckpoint } from "./tiny-models.ts";
import type { TinyModel } from "./tiny-models.ts";

/** Logits of every position by the plain f64 forward pass, [T][V]. */
export type Logits = (ids: readonly number[]) => number[][];

/**
 * Cuts of F 40, H 6, G 3, one entry per layer: one head of each group and FFN units; two KV groups with their heads and
 * FFN units; FFN units. Kept: F 32, H 3, G 3; F 33, H 2, G 1; F 24, H 6, G 3.
 */
export const RAGGED_CUTS: readonly Removed[] = [
  { ffn: [0, 3, 4, 5, 17, 30, 38, 39], head: [0, 3, 4] },
  { ffn: [1, 2, 9, 11, 12, 13, 14], "kv-group": [0, 2] },
  { ffn: Array.from({ length: 16 }, (_, unit) => 2 * unit + 1) },
];

/**
 * Cuts a tiny model and writes it as a folder with a tokenizer that GGUF can hold; returns it with its expected logits.
 */
export async function raggedFolder(
  model: TinyModel,
  cuts: readonly Removed[],
  folder: string,
): Promise<{ readonly expert: Expert; readonly reference: Logits }> {
  const plan = planOf("ragged", cuts);
  const expert = cutExpert(tinyCheckpoint(model), plan);
  await writeHuggingFaceFolder(expert, byteTokenizer(model.config.vocabSize), folder, { plan, card: cardInput(model.config) });
  const tensors = new Map<string, ReferenceTensor>();
  for (const tensor of expert.tensors) tensors.set(tensor.name, { shape: tensor.shape, values: await tensor.readFloat32() });
  const reference: Logits = (ids) => referenceLogits(expert.configJson, tensors, ids).map((row) => Array.from(row));
  return { expert, reference };
}

/** As many byte-level tokens of one character as the model has rows: tiny models are run on ids. */
function byteTokenizer(vocabSize: number): TokenizerFiles {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const vocab = Object.fromEntries(Array.from({ length: vocabSize }, (_, id) => [String.fromCodePoint(0x100 + id), id]));
  const tokenizerJson = {
    version: "1.0",
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: "BPE", vocab, merges: [] },
  };
  const tokenizerConfig = { tokenizer_class: "PreTrainedTokenizerFast" };
  const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const files = new Map([
    ["tokenizer.json", encode(tokenizerJson)],
    ["tokenizer_config.json", encode(tokenizerConfig)],
  ]);
  return { tokenizerJson, tokenizerConfig, files };
}

/**
 * The ids that follow a prompt if the largest logit is taken each time.
 * @param logits of every position of the given ids.
 */
export function greedyIds(logits: Logits, prompt: readonly number[], count: number): number[] {
  const ids = [...prompt];
  while (ids.length < prompt.length + count) {
    const last = logits(ids).at(-1)!;
    ids.push(last.indexOf(Math.max(...last)));
  }
  return ids.slice(prompt.length);
}
