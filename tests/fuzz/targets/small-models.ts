/**
 * @file The smallest models that still have everything: two layers, two groups of two heads.
 */

import { mutateJson } from "../mutate/json.ts";
import type { Random } from "../random.ts";
import { tinyModel, type TinyModel, tinyBytes } from "../../support/tiny-models.ts";
import { TINY_FAMILIES, type TinyFamily } from "../../support/tiny-families.ts";
import { smallSentencePiece } from "../../support/trimmed-vocabularies.ts";

/** D 8, F 8, L 2, H 4, G 2, K 4, V 280: the tokens of `smallSentencePiece`, and a few rows more. */
export const SMALL_SIZES = {
  hiddenSize: 8,
  intermediateSize: 8,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 4,
  vocabSize: 280,
} as const;

const made = new Map<TinyFamily, TinyModel>();

/** The small model of a family; made once. */
export function smallModel(family: TinyFamily): TinyModel {
  const known = made.get(family);
  if (known !== undefined) return known;
  const model = tinyModel(family, SMALL_SIZES);
  made.set(family, model);
  return model;
}

/** Every family. */
export const FAMILIES = TINY_FAMILIES;

/** A text that the small tokenizer splits into letters, merges and bytes. */
export const SMALL_TEXT = "abc abcde dee eee a b c d e é ab abc cde abcde eee dee";

/** A safetensors file of a model's tensors, or of those that are chosen. */
export function safetensorsOf(model: TinyModel, isChosen: (name: string, index: number) => boolean = () => true): Buffer {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  const parts: Uint8Array[] = [];
  let start = 0;
  for (const [index, [name, { shape, values }]] of [...model.tensors].entries()) {
    if (!isChosen(name, index)) continue;
    const bytes = tinyBytes(values, "F32");
    header[name] = { dtype: "F32", shape, data_offsets: [start, start + bytes.length] };
    start += bytes.length;
    parts.push(bytes);
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...parts]);
}

/** The small files of a folder: configs and tokenizer. */
export function smallFiles(model: TinyModel): [string, Buffer][] {
  const { tokenizerJson, tokenizerConfig } = smallSentencePiece();
  return [
    ["config.json", json({ ...model.configJson, pad_token_id: 0 })],
    ["generation_config.json", json({ bos_token_id: 1, eos_token_id: [2, 3], bad_words_ids: [[4], [5, 6]], do_sample: true })],
    ["tokenizer.json", json(tokenizerJson)],
    [
      "tokenizer_config.json",
      json({ ...tokenizerConfig, chat_template: "{% for m in messages %}{{ m.content }} ab{% endfor %}" }),
    ],
  ];
}

/** A value as the contents of a file. */
export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value, null, 1));
}

/** Mutates a JSON file. */
export function mutateJsonFile(contents: Buffer, random: Random): Buffer {
  return Buffer.from(mutateJson(contents.toString("utf8"), random));
}
