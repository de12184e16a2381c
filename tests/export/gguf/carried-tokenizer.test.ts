/**
 * @file The tokenizer keys of a GGUF file after tokens were removed.
 */

import { describe, expect, test } from "vitest";
import { tokenizerFilesFromGguf } from "../../../src/checkpoint/gguf/tokenizer.ts";
import type { GgufValue } from "../../../src/checkpoint/gguf/values.ts";
import { createTokenizer } from "../../../src/corpora/tokenizer.ts";
import { carriedTokenizerValues, leftOutTokenizerKeys } from "../../../src/export/gguf/carried-tokenizer.ts";
import type { GgufTypedValue } from "../../../src/export/gguf/writer.ts";
import { trickyStrings } from "../../reference/texts.mjs";
import { realMetadata } from "../../support/gguf-tokenizers.ts";
import { REAL_MODELS } from "../../support/real-models.ts";
import { trimVocabulary } from "../../support/trimmed-vocabularies.ts";

/** A value as it is read from a header. */
function decoded(value: Exclude<GgufTypedValue, readonly ["encoded", ...unknown[]]>): GgufValue {
  if (value[0] !== "array") return value[1];
  if (value[1] === "string") return value[2];
  return value[1] === "int32" ? Int32Array.from(value[2]) : Float32Array.from(value[2]);
}

describe.each(REAL_MODELS)("the tokenizer of %s", (name) => {
  test("without six of ten tokens splits every text as the trimmed tokenizer.json does", async () => {
    const metadata = await realMetadata(name);
    const vocabSize = (metadata.get("tokenizer.ggml.tokens") as readonly string[]).length;
    const made = trimVocabulary(tokenizerFilesFromGguf(metadata, name), vocabSize, 0.6, (id) => 1 / (id + 1));
    const origin = { metadata, tokenIds: made.ids, rowsAsStored: () => null, readValue: async () => new Uint8Array() };
    const values = await carriedTokenizerValues(origin);
    const trimmed = new Map<string, GgufValue>(
      [...values].map(([key, value]) => [key, value[0] === "encoded" ? metadata.get(key)! : decoded(value)]),
    );
    expect(trimmed.get("tokenizer.ggml.tokens")).toHaveLength(made.ids.size);
    const tokenizer = createTokenizer(tokenizerFilesFromGguf(trimmed, name), name);
    for (const text of trickyStrings()) expect(tokenizer.encode(text), text).toEqual(made.trimmed.encode(text));
    for (const [key, value] of trimmed) {
      if (!key.endsWith("_token_id")) continue;
      expect(value, key).toBe(made.ids.get(Number(metadata.get(key))));
    }
  });
});

test("keys that name a removed token are dropped and listed, whatever else they name", async () => {
  const metadata = new Map<string, GgufValue>([
    ["general.name", "m"],
    ["tokenizer.ggml.tokens", ["a", "b", "c", "d"]],
    ["tokenizer.ggml.eos_token_id", 3],
    ["tokenizer.ggml.seperator_token_id", 1],
    ["tokenizer.ggml.eog_token_ids", Int32Array.of(1, 3)],
    ["tokenizer.ggml.suppress_tokens", Int32Array.of(0, 2)],
    // No token: such padding is never carried over, and means nothing.
    ["tokenizer.ggml.padding_token_id", 4_294_967_295],
    ["tokenizer.huggingface.json", "{}"],
  ]);
  const tokenIds = new Map([
    [0, 0],
    [2, 1],
    [3, 2],
  ]);
  const origin = { metadata, tokenIds, rowsAsStored: () => null, readValue: async () => new Uint8Array() };
  const values = await carriedTokenizerValues(origin);
  expect(values.get("tokenizer.ggml.eos_token_id")).toEqual(["uint32", 2]);
  expect(values.get("tokenizer.ggml.suppress_tokens")).toEqual(["array", "int32", [0, 1]]);
  const dropped = ["tokenizer.ggml.seperator_token_id", "tokenizer.ggml.eog_token_ids"];
  expect(dropped.filter((key) => values.has(key))).toEqual([]);
  expect(leftOutTokenizerKeys(origin)).toEqual(dropped);
  expect(leftOutTokenizerKeys({ metadata, tokenIds: null })).toEqual([]);
});
