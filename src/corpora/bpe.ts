/**
 * @file The BPE model of a tokenizer.json, parsed and checked: the parts needed to export, count and trim a vocabulary.
 */

import type { TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { CusprunError } from "../errors.ts";
import { isJsonObject, type JsonObject, showValue } from "../json.ts";
import { readMerges, readTokenIds } from "./tokenizer-ids.ts";
import { holdsByteLevel } from "./tokenizer-model-check.ts";

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
  /** Texts of added tokens past the end of the embedding. */
  readonly withoutRow: readonly string[];
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
 * @param vocabSize rows of the embedding. Tokens past its end, which the model cannot read, are left out.
 * @param where the file or folder, for error messages.
 * @throws CusprunError the errors of `readTokenIds`; `TOKENIZER_UNSUPPORTED` for models other than BPE that can encode
 * every byte.
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
  readTokenIds(tokenizerJson, where);
  const vocab = Object.entries(model["vocab"] as Readonly<Record<string, number>>).filter(([, id]) => id < vocabSize);
  const added = ((tokenizerJson["added_tokens"] ?? []) as readonly JsonObject[]).map(({ content, id, special }) => ({
    text: content as string,
    id: id as number,
    isSpecial: special === true,
  }));
  return {
    isByteLevel,
    vocab: new Map(vocab),
    added: added.filter(({ id }) => id < vocabSize),
    withoutRow: added.filter(({ id }) => id >= vocabSize).map(({ text }) => text),
    merges: readMerges(model["merges"], where),
    ignoresMerges: model["ignore_merges"] === true,
    unknown: typeof model["unk_token"] === "string" ? model["unk_token"] : null,
  };
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
