/**
 * @file GGUF files, whole and split: header, keys, tokenizer and every tensor; what is accepted is written again.
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { describeModel } from "../../../src/checkpoint/inspect.ts";
import { createTokenizer } from "../../../src/corpora/tokenizer.ts";
import { exportGguf } from "../../../src/export/gguf/export-gguf.ts";
import { quantize } from "../../../src/export/gguf/ggml-quantize.ts";
import { ggufOfTinyModel, type TypedValue, writeGguf, type WrittenGguf, type WrittenTensor } from "../../support/gguf-writer.ts";
import { quantizedGguf } from "../../support/quantized-gguf.ts";
import { tinyModel } from "../../support/tiny-models.ts";
import { mutateGguf } from "../mutate/gguf.ts";
import type { Random } from "../random.ts";
import type { Base, Target } from "../target.ts";
import { readAll, withCheckpoint } from "./checkpoints.ts";
import { FAMILIES, SMALL_SIZES, SMALL_TEXT, smallModel } from "./small-models.ts";

const FILE = "model.gguf";
const PARTS = ["model-00001-of-00002.gguf", "model-00002-of-00002.gguf"] as const;
/** Rows of 32 for simple blocks, of 256 for K-quants. */
const QUANTISED = { ...SMALL_SIZES, hiddenSize: 32, headDim: 8, intermediateSize: 256, vocabSize: 16 };
const K_QUANTS = { "blk.0": ["Q4_K", 12], "blk.1": ["Q6_K", 14] } as const;
/** Describing opens the file a second time. */
const DESCRIBED_EVERY = 8;
const WRITTEN_EVERY = 4;

/** One file. */
export const gguf: Target = {
  name: "gguf",
  weight: 2,
  secondReader: { name: "gguf", ending: ".gguf" },
  bases: async () => {
    const small = FAMILIES.map((family): [string, WrittenGguf] => [family, withTokenizer(ggufOfTinyModel(smallModel(family)))]);
    const quantised = tinyModel("qwen3", QUANTISED);
    const files: [string, Uint8Array][] = [
      ...small.map(([name, file]): [string, Uint8Array] => [name, writeGguf(file)]),
      ["quantised", quantizedGguf(quantised)],
      ["k-quants", writeGguf(withKQuants(ggufOfTinyModel(tinyModel("llama", QUANTISED))))],
    ];
    return files.map(([name, bytes]): Base => ({ name, files: new Map([[FILE, Buffer.from(bytes)]]), changed: [FILE] }));
  },
  mutate: (_, contents, random, others) => mutateGguf(contents, random, others),
  run: (folder, random) => readAndWrite(join(folder, FILE), folder, random),
};

/** A file in two parts. */
export const ggufSplit: Target = {
  name: "gguf-split",
  secondReader: { name: "gguf", ending: ".gguf" },
  bases: async () =>
    (["llama", "qwen2"] as const).map((family): Base => {
      const parts = splitInTwo(withTokenizer(ggufOfTinyModel(smallModel(family))));
      const files = new Map(parts.map((part, index) => [PARTS[index]!, Buffer.from(writeGguf(part))]));
      return { name: family, files, changed: [...PARTS] };
    }),
  mutate: (_, contents, random, others) => mutateGguf(contents, random, others),
  run: (folder, random) => readAndWrite(join(folder, random.pick(PARTS)), folder, random),
};

async function readAndWrite(path: string, folder: string, random: Random): Promise<void> {
  if (random.chance(1 / DESCRIBED_EVERY)) await describeModel(path);
  await withCheckpoint(path, async (checkpoint) => {
    await readAll(checkpoint);
    const files = await checkpoint.readTokenizerFiles();
    if (files !== null) createTokenizer(files, path).encode(SMALL_TEXT);
    if (!random.chance(1 / WRITTEN_EVERY)) return;
    const out = join(folder, "out.gguf");
    try {
      await exportGguf(checkpoint, out);
      await withCheckpoint(out, readAll);
    } finally {
      rmSync(out, { force: true });
    }
  });
}

/** Adds a SentencePiece-style vocabulary of as many tokens as the embedding has rows. */
function withTokenizer(file: WrittenGguf): WrittenGguf {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const pieces = ["▁", "a", "b", "c", "d", "e", "ab", "bc", "abc", "▁a", "▁ab", "▁abc", "de", "cde", "abcde", "ee", "eee", "dee"];
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...pieces, "<x>", "<y>", "<z>"];
  const types = tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : id < 277 ? 1 : 4));
  const keys: [string, TypedValue][] = [
    ["tokenizer.ggml.model", ["string", "llama"]],
    ["tokenizer.ggml.tokens", ["array", "string", tokens]],
    ["tokenizer.ggml.scores", ["array", "float32", tokens.map((_, id) => -id)]],
    ["tokenizer.ggml.token_type", ["array", "int32", types]],
    ["tokenizer.ggml.padding_token_id", ["uint32", 0]],
    ["tokenizer.chat_template", ["string", "{{ messages[0].content }}"]],
    ["general.alignment", ["uint32", 32]],
  ];
  return { ...file, metadata: [...file.metadata, ...keys] };
}

function withKQuants(file: WrittenGguf): WrittenGguf {
  const tensors = file.tensors.map((tensor): WrittenTensor => {
    const chosen = tensor.name.includes("ffn_down") ? K_QUANTS[tensor.name.slice(0, 5) as keyof typeof K_QUANTS] : undefined;
    if (chosen === undefined) return tensor;
    const [type, typeId] = chosen;
    return { ...tensor, typeId, bytes: quantize(type, new Float32Array(tensor.bytes.slice().buffer)) };
  });
  return { ...file, tensors };
}

/** As `llama-gguf-split` splits: every part says which it is, and only the first has the model's keys. */
function splitInTwo(file: WrittenGguf): readonly [WrittenGguf, WrittenGguf] {
  const half = Math.ceil(file.tensors.length / 2);
  const keys = (part: number): [string, TypedValue][] => [
    ["split.no", ["uint16", part]],
    ["split.count", ["uint16", 2]],
    ["split.tensors.count", ["int32", file.tensors.length]],
  ];
  return [
    { metadata: [...file.metadata, ...keys(0)], tensors: file.tensors.slice(0, half) },
    { metadata: keys(1), tensors: file.tensors.slice(half) },
  ];
}
