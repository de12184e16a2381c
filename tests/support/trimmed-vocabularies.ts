/**
 * @file Trimmed vocabularies for tests: the kept tokens are drawn by a seed, and closed under merges.
 */

import { isJsonObject } from "../../src/json.ts";
import type { TokenizerFiles } from "../../src/checkpoint/checkpoint.ts";
import { type BpeModel, deriveTokens, readBpe } from "../../src/corpora/bpe.ts";
import { alwaysKeptTokens } from "../../src/corpora/kept-tokens.ts";
import { createTokenizer, type Tokenizer } from "../../src/corpora/tokenizer.ts";
import { orderTokens } from "../../src/selection/token-order.ts";
import { renumberTokens, type TokenIdMap, trimTokenizer } from "../../src/surgery/trim-tokenizer.ts";

/** A tokenizer before and after. */
export interface Trimmed {
  readonly bpe: BpeModel;
  readonly dense: Tokenizer;
  readonly trimmed: Tokenizer;
  readonly files: TokenizerFiles;
  /** New ids by old ones. */
  readonly ids: TokenIdMap;
}

/**
 * Removes tokens from a tokenizer.
 * @param share of the removable tokens that is removed.
 * @param relevanceOf relevance of a token; the least relevant are removed.
 */
export function trimVocabulary(
  files: TokenizerFiles,
  vocabSize: number,
  share: number,
  relevanceOf: (id: number) => number,
): Trimmed {
  const bpe = readBpe(files, vocabSize, "test");
  const dense = createTokenizer(files, "test");
  const order = orderTokens(
    { derivations: deriveTokens(bpe), alwaysKept: alwaysKeptTokens(bpe, files, dense, [], ["Latin"], vocabSize) },
    { keys: [{ values: Float64Array.from({ length: vocabSize }, (_, id) => relevanceOf(id)), weight: 1 }], watched: [] },
  );
  const gone = new Set(order.tokens.subarray(0, Math.round(share * order.tokens.length)));
  const ids = renumberTokens(Array.from({ length: vocabSize }, (_, id) => id).filter((id) => !gone.has(id)));
  const trimmedFiles = trimTokenizer(files, ids);
  return { bpe, dense, files: trimmedFiles, trimmed: createTokenizer(trimmedFiles, "test"), ids };
}

/** The defect of a trimmed tokenizer on a text: none, a loss, or a different encoding. */
export function defectOf({ dense, trimmed, ids }: Trimmed, text: string): string | null {
  const before = Array.from(dense.encode(text));
  const after = Array.from(trimmed.encode(text));
  if (trimmed.decode(Int32Array.from(after)) !== dense.decode(Int32Array.from(before))) return `lossy: ${JSON.stringify(text)}`;
  if (!before.every((id) => ids.has(id))) return null;
  const expected = before.map((id) => ids.get(id)!);
  return expected.join() === after.join()
    ? null
    : `encoded differently: ${JSON.stringify(text)} ${expected.join()} ${after.join()}`;
}

/**
 * A SentencePiece-style tokenizer over the letters a to e; its merges, made from scores, are all pairs that form a
 * token.
 */
export function smallSentencePiece(): TokenizerFiles {
  const letters = ["▁", "a", "b", "c", "d", "e"];
  const joined = ["ab", "bc", "abc", "▁a", "▁ab", "▁abc", "de", "cde", "abcde", "ee", "eee", "dee"];
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...letters, ...joined];
  const isToken = new Set(tokens);
  const merges = joined.flatMap((token) =>
    Array.from({ length: token.length - 1 }, (_, cut) => [token.slice(0, cut + 1), token.slice(cut + 1)]).filter(
      ([left, right]) => isToken.has(left!) && isToken.has(right!),
    ),
  );
  const special = ["<unk>", "<s>", "</s>"].map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const tokenizerJson = {
    version: "1.0",
    added_tokens: special,
    normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }, { type: "Fuse" }],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: false,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
  const tokenizerConfig = { bos_token: "<s>", added_tokens_decoder: { 0: special[0], 1: special[1], 2: special[2] } };
  return { tokenizerJson, tokenizerConfig, files: new Map([["tokenizer.model", new Uint8Array(1)]]) };
}

/** The ids in a tokenizer.json's post-processor. */
export function postProcessorIds({ tokenizerJson }: TokenizerFiles): unknown {
  const processor = tokenizerJson["post_processor"];
  return isJsonObject(processor) ? processor["special_tokens"] : null;
}
