/**
 * @file The inputs of the trials: a tiny Llama with a byte-level tokenizer that every export format can hold, another
 * one of the same sizes with other weights, corpora, and an evaluation file.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeTinyCorpus } from "../support/tiny-corpus.ts";
import { tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";
import { writeTinyTasks } from "../support/tiny-tasks.ts";

/** Two special tokens and the 256 bytes. */
const SPECIAL = ["<unk>", "<s>", "</s>"];

/** Large enough that writing takes several calls and shards, small enough that a run takes a second or two. */
const SIZES = {
  hiddenSize: 64,
  intermediateSize: 256,
  numHiddenLayers: 3,
  numAttentionHeads: 8,
  numKeyValueHeads: 4,
  headDim: 8,
};

/** GPT-2's printable character for each byte, in the order of bytes. */
function byteCharacters(): string[] {
  const isPrintable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

async function writeTokenizer(folder: string): Promise<void> {
  const vocab = Object.fromEntries([...SPECIAL, ...byteCharacters()].map((piece, id) => [piece, id]));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: { type: "BPE", dropout: null, unk_token: null, vocab, merges: [] },
  };
  const config = { tokenizer_class: "GPT2Tokenizer", bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" };
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  await writeFile(join(folder, "tokenizer_config.json"), JSON.stringify(config));
}

async function writeModel(folder: string, seed: number): Promise<void> {
  await writeTinyCheckpoint(folder, tinyModel("llama", { ...SIZES, vocabSize: SPECIAL.length + 256, seed }));
  await writeTokenizer(folder);
}

/** Names in the folder of the inputs. */
export const INPUT_NAMES = {
  model: "model",
  language: "language.jsonl",
  domain: "domain.jsonl",
  tasks: "choices.jsonl",
} as const;

/** Writes the inputs into a folder. @param seed of the weights and the texts. */
export async function writeInputs(folder: string, seed: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeModel(join(folder, INPUT_NAMES.model), seed);
  const corpus = { documents: 16, words: 24 };
  await writeTinyCorpus(join(folder, INPUT_NAMES.language), { ...corpus, seed });
  await writeTinyCorpus(join(folder, INPUT_NAMES.domain), { ...corpus, seed: seed + 100, vocabulary: 12 });
  await writeTinyTasks(folder, 4);
}
