/**
 * @file The BPE model of a tokenizer.json, parsed and checked: the parts needed to export, count and trim a vocabulary.
 */

import type { TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { isJsonObject, showValue } from "../json.ts";
import { CusprunError } from "../errors.ts";

/** A token that is matched in the raw text, before any merge. */
export interface AddedToken {
  readonly text: string;
  readonly id: number;
  /** Whether it is a control token, as opposed to ordinary text that is never split. */
  readonly isSpecial: boolean;
}

/** A byte-level or SentencePiece-style BPE vocabulary. */
export interface BpeModel {
  /** True for byte-level BPE (`gpt2`), false for SentencePiece-style BPE with byte fallback (`llama`). */
  readonly isByteLevel: boolean;
  /** Ids of `model.vocab` by text. */
  readonly vocab: ReadonlyMap<string, number>;
  /** `added_tokens`; some are also in `vocab`. */
  readonly added: readonly AddedToken[];
  /** In order of rank, best first. */
  readonly merges: readonly (readonly [left: string, right: string])[];
  /** Whether a word that is itself a token is not split. */
  readonly ignoresMerges: boolean;
  /** `model.unk_token`. */
  readonly unknown: string | null;
}

/** Byte tokens of a SentencePiece-style vocabulary. */
export const BYTE_TOKEN: RegExp = /^<0x[0-9A-F]{2}>$/;

/**
 * Parses and checks the BPE model of a tokenizer.
 * @param vocabSize rows of the embedding: every id must be below it.
 * @param where the file or folder, for error messages.
 * @throws CusprunError `TOKENIZER_INVALID`; `TOKENIZER_UNSUPPORTED` for models other than BPE that can encode every
 * byte.
 */
export function readBpe({ tokenizerJson }: TokenizerFiles, vocabSize: number, where: string): BpeModel {
  const model = tokenizerJson["model"];
  if (!isJsonObject(model) || model["type"] !== "BPE") {
    throw unsupportedTokenizer(where, "model.type", isJsonObject(model) ? model["type"] : model, "BPE");
  }
  const isByteLevel = holdsByteLevel(tokenizerJson["pre_tokenizer"]);
  if (!isByteLevel && model["byte_fallback"] !== true) {
    throw unsupportedTokenizer(where, "model.byte_fallback", model["byte_fallback"], "true, or a byte-level pre-tokenizer");
  }
  const checkId = (text: string, id: unknown): number => {
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < vocabSize) return id;
    throw invalidTokenizer(
      where,
      `id ${showValue(id)} of token ${JSON.stringify(text)}`,
      `an id below ${vocabSize}, the number of rows of the embedding`,
    );
  };
  if (!isJsonObject(model["vocab"])) throw invalidTokenizer(where, "no model.vocab", "the ids of all tokens");
  return {
    isByteLevel,
    vocab: new Map(Object.entries(model["vocab"]).map(([text, id]) => [text, checkId(text, id)])),
    added: readAdded(tokenizerJson["added_tokens"], checkId, where),
    merges: readMerges(model["merges"], where),
    ignoresMerges: model["ignore_merges"] === true,
    unknown: typeof model["unk_token"] === "string" ? model["unk_token"] : null,
  };
}

function holdsByteLevel(preTokenizer: unknown): boolean {
  if (!isJsonObject(preTokenizer)) return false;
  const parts = preTokenizer["pretokenizers"];
  return preTokenizer["type"] === "ByteLevel" || (Array.isArray(parts) && parts.some(holdsByteLevel));
}

function readAdded(list: unknown, checkId: (text: string, id: unknown) => number, where: string): AddedToken[] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) throw invalidTokenizer(where, "added_tokens that is not a list", "a list");
  return list.map((entry: unknown) => {
    if (!isJsonObject(entry) || typeof entry["content"] !== "string") {
      throw invalidTokenizer(where, `the added token ${showValue(entry)}`, "an object with a string 'content'");
    }
    const text = entry["content"];
    return { text, id: checkId(text, entry["id"]), isSpecial: entry["special"] === true };
  });
}

/** Merges are pairs, or in older files two words separated by a space. */
function readMerges(list: unknown, where: string): (readonly [string, string])[] {
  if (!Array.isArray(list)) throw invalidTokenizer(where, "no model.merges", "a list of merges");
  return list.map((merge: unknown) => {
    const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (Array.isArray(parts) && parts.length === 2) {
      const [left, right] = parts as unknown[];
      if (typeof left === "string" && typeof right === "string") return [left, right];
    }
    throw invalidTokenizer(where, `the merge ${showValue(merge)}`, "two tokens");
  });
}

/**
 * Derives each token: the two tokens of the last merge when the token's own text is encoded. Tokens that no merge
 * produces have no entry: characters, bytes, added tokens, and tokens that encoding their own text does not yield. If a
 * text is encoded to kept tokens only, every intermediate token is reached by these pairs, whatever the context: merges
 * inside the span of a final token never depend on text outside it.
 * @returns pairs by id, for the tokens of `model.vocab`.
 */
export function deriveTokens(model: BpeModel): ReadonlyMap<number, readonly [left: number, right: number]> {
  const { vocab, isByteLevel } = model;
  let span = 0;
  for (const id of vocab.values()) span = Math.max(span, id + 1);
  const ranks = new Map<number, number>();
  const made = new Map<number, number>();
  for (const [rank, [left, right]] of model.merges.entries()) {
    const [a, b, joined] = [vocab.get(left), vocab.get(right), vocab.get(left + right)];
    if (a === undefined || b === undefined || joined === undefined) continue;
    const key = a * span + b;
    if (ranks.has(key)) continue;
    ranks.set(key, rank);
    made.set(key, joined);
  }
  const derivations = new Map<number, readonly [number, number]>();
  for (const [text, id] of vocab) {
    const symbols = initialSymbols(text, vocab, isByteLevel);
    const last = symbols === null ? null : lastMerge(symbols, ranks, made, span);
    if (last !== null && made.get(last[0] * span + last[1]) === id) derivations.set(id, last);
  }
  return derivations;
}

/**
 * The symbols that merging starts from: the characters of the text, or the bytes of characters that are not tokens;
 * null if a byte is not a token either.
 */
function initialSymbols(text: string, vocab: ReadonlyMap<string, number>, isByteLevel: boolean): number[] | null {
  const symbols: number[] = [];
  for (const character of text) {
    const id = vocab.get(character);
    if (id !== undefined) {
      symbols.push(id);
      continue;
    }
    if (isByteLevel) return null;
    for (const byte of Buffer.from(character, "utf8")) {
      const fallback = vocab.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
      if (fallback === undefined) return null;
      symbols.push(fallback);
    }
  }
  return symbols;
}

/** Merges the best pair repeatedly. Returns the last merged pair if one token remains, else null. */
function lastMerge(
  symbols: number[],
  ranks: ReadonlyMap<number, number>,
  made: ReadonlyMap<number, number>,
  span: number,
): readonly [number, number] | null {
  let last: readonly [number, number] | null = null;
  while (symbols.length > 1) {
    let [best, at] = [Number.POSITIVE_INFINITY, -1];
    for (let index = 0; index + 1 < symbols.length; index++) {
      const rank = ranks.get(symbols[index]! * span + symbols[index + 1]!);
      if (rank !== undefined && rank < best) [best, at] = [rank, index];
    }
    if (at === -1) return null;
    last = [symbols[at]!, symbols[at + 1]!];
    symbols.splice(at, 2, made.get(last[0] * span + last[1])!);
  }
  return last;
}

/** The error for a tokenizer that cannot be parsed or converted. */
export function unsupportedTokenizer(where: string, part: string, found: unknown, expected: string): CusprunError {
  return new CusprunError("TOKENIZER_UNSUPPORTED", {
    where: `${where}: tokenizer.json: ${part}`,
    found: showValue(found),
    expected,
    remedy: "Write --formats hf, and keep the full vocabulary (--keep-vocabulary)",
  });
}

function invalidTokenizer(where: string, found: string, expected: string): CusprunError {
  return new CusprunError("TOKENIZER_INVALID", {
    where: `${where}: tokenizer.json`,
    found,
    expected,
    remedy: "Download the model again, or save its fast tokenizer again with transformers (save_pretrained)",
  });
}
