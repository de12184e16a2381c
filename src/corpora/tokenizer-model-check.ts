/**
 * @file The model of a tokenizer.json, BPE or Unigram: refused if `@huggingface/tokenizers` 0.2.0 would yield other ids
 * than the Rust tokenizers.
 */

import { CusprunError } from "../errors.ts";
import { isJsonObject, type JsonObject, showValue } from "../json.ts";
import { BYTE_CHARACTERS, byteToken, TEXT_BYTES } from "./byte-characters.ts";
import { invalidTokenizer, readMerges, type TokenIds } from "./tokenizer-ids.ts";

/** A tokenizer.json and its ids. */
export interface TokenizerRoot {
  readonly json: JsonObject;
  readonly ids: TokenIds;
}

/** The type of a model, `BPE` or `Unigram`. @throws CusprunError `TOKENIZER_UNSUPPORTED` for every other. */
export function checkModelType(json: JsonObject, where: string): void {
  const { model } = json;
  if (!isJsonObject(model)) throw invalidTokenizer(where, "model", showValue(model), "an object");
  if (model["type"] !== "BPE" && model["type"] !== "Unigram")
    throw inexact(where, "model.type", model["type"], "BPE, or Unigram");
}

/**
 * Checks a model whose ids are checked.
 * @param isRust whether the Rust tokenizers are the reference, and not llama.cpp.
 * @throws CusprunError `TOKENIZER_UNSUPPORTED`.
 */
export function checkModel(root: TokenizerRoot, isRust: boolean, where: string): void {
  const { json, ids } = root;
  const model = json["model"] as JsonObject;
  const refuse = (key: string, expected: string): never => {
    throw inexact(where, `model.${key}`, model[key], expected);
  };
  if (model["type"] === "Unigram") {
    if (model["byte_fallback"] === true) refuse("byte_fallback", "false in a Unigram model");
    const id = model["unk_id"];
    const isToken = typeof id === "number" && Number.isInteger(id) && id >= 0 && id < (model["vocab"] as unknown[]).length;
    if (!isToken) refuse("unk_id", "the id of a token");
    if (!fusesExactly(root)) throw inexact(where, "pre_tokenizer", json["pre_tokenizer"], "none, or Metaspace");
    return;
  }
  if ((model["dropout"] ?? 0) !== 0) refuse("dropout", "none: merges are left out at random");
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) if ((model[key] ?? "") !== "") refuse(key, "none");
  const unknown = model["unk_token"] ?? null;
  if (unknown !== null && (typeof unknown !== "string" || !ids.has(unknown))) refuse("unk_token", "a token, or none");
  const isByteLevel = holdsByteLevel(json["pre_tokenizer"]);
  const isComplete = isByteLevel ? holdsTextBytes(ids) : model["byte_fallback"] === true;
  if (model["fuse_unk"] === true && !isComplete && !fusesExactly(root)) refuse("fuse_unk", "false where text is split");
  if (model["byte_fallback"] === true) {
    if (isByteLevel) refuse("byte_fallback", "false with a byte-level pre-tokenizer");
    if (isRust) checkByteTokens(model, ids, where);
  } else if (isRust && unknown === null && (!isByteLevel || (model["ignore_merges"] === true && lostBytes(root).length > 0))) {
    refuse("unk_token", "a token for unknown characters where the vocabulary does not hold every byte");
  }
}

/** Whether the vocabulary of a byte-level tokenizer holds every byte that occurs in text. */
export function holdsTextBytes(ids: TokenIds): boolean {
  return BYTE_CHARACTERS.every((character, byte) => !TEXT_BYTES.has(byte) || ids.has(character));
}

/**
 * Whether unknown characters are fused as in Rust, within words. The library fuses them across words: no word but the
 * first may begin with an unknown character.
 */
function fusesExactly({ json, ids }: TokenizerRoot): boolean {
  const parts = partsOf(json["pre_tokenizer"], "pretokenizers");
  const isExact = ({ type, split, replacement = "▁" }: JsonObject): boolean =>
    type === "Metaspace" && (split === false || ids.has(replacement as string));
  return parts.length <= 1 && parts.every(isExact);
}

/** Byte tokens stand for unknown characters: in Rust before merges are applied, in the library afterwards. */
function checkByteTokens(model: JsonObject, ids: TokenIds, where: string): void {
  const byteTokens = new Set(Array.from({ length: 256 }, (_, byte) => byteToken(byte)));
  const absent = [...byteTokens].find((token) => !ids.has(token));
  if (absent !== undefined) throw inexact(where, "model.vocab", `no token ${absent}`, "a token for each of the 256 bytes");
  // A merge of a byte token makes a longer token with it at one end.
  if (![...ids.keys()].some((token) => /^<0x[0-9A-F]{2}>.|.<0x[0-9A-F]{2}>$/su.test(token))) return;
  const merge = readMerges(model["merges"], where).find((parts) => parts.some((part) => byteTokens.has(part)));
  if (merge !== undefined) throw inexact(where, "model.merges", merge, "no merges of byte tokens");
}

/**
 * Characters of bytes that have no token and no unknown token stands for. The Rust tokenizers drop them before they
 * merge, the library afterwards.
 */
export function lostBytes({ json, ids }: TokenizerRoot): readonly string[] {
  const model = json["model"] as JsonObject;
  const isLossy = model["type"] === "BPE" && (model["unk_token"] ?? null) === null && holdsByteLevel(json["pre_tokenizer"]);
  return isLossy ? BYTE_CHARACTERS.filter((character, byte) => TEXT_BYTES.has(byte) && !ids.has(character)) : [];
}

/** Whether a pre-tokenizer writes bytes as characters. */
export function holdsByteLevel(preTokenizer: unknown): boolean {
  return partsOf(preTokenizer, "pretokenizers").some(({ type }) => type === "ByteLevel");
}

/** The parts of a section in order, those of sequences included. `list`: the key of a sequence's parts. */
export function partsOf(value: unknown, list: string): JsonObject[] {
  if (!isJsonObject(value)) return [];
  const parts = value[list];
  return Array.isArray(parts) ? parts.flatMap((part: unknown) => partsOf(part, list)) : [value];
}

/** The error for a part that is only nearly implemented. */
export function inexact(where: string, key: string, found: unknown, expected: string): CusprunError {
  return new CusprunError("TOKENIZER_UNSUPPORTED", {
    where: `${where}: tokenizer.json: ${key}`,
    found: showValue(found),
    expected: `${expected}: cusprun would tokenise anything else differently from transformers`,
    remedy: "Use a GGUF file of the model, which describes its tokenizer in another way, or choose another model",
  });
}
