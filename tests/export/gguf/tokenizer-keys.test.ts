/**
 * @file Tokenizer files → GGUF keys → tokenizer files: the same ids as llama.cpp produced for the original GGUF files.
 */

import { expect, test } from "vitest";

import type { GgufMetadata, GgufValue } from "../../../src/checkpoint/gguf/values.ts";
import { tokenizerFilesFromGguf } from "../../../src/checkpoint/gguf/tokenizer.ts";
import type { ModelConfig } from "../../../src/checkpoint/config/model-config.ts";
import { tokenizerPairs } from "../../../src/export/gguf/tokenizer-keys.ts";
import type { GgufPair } from "../../../src/export/gguf/writer.ts";
import { differingStrings, makeTokenizer, readGolden, realMetadata } from "../../support/gguf-tokenizers.ts";
import { REAL_MODELS } from "../../support/real-models.ts";

/** Pairs as the reader would return them. */
function metadataOf(pairs: readonly GgufPair[]): GgufMetadata {
  const read = ([, value]: GgufPair): GgufValue => {
    if (value[0] !== "array") return value[1];
    if (value[1] === "string") return value[2];
    return value[1] === "int32" ? Int32Array.from(value[2]) : Float32Array.from(value[2]);
  };
  return new Map(pairs.map((pair) => [pair[0], read(pair)]));
}

test.each(REAL_MODELS)("%s: round trip", async (name) => {
  const metadata = await realMetadata(name);
  const tokens = metadata.get("tokenizer.ggml.tokens") as readonly string[];
  const config = { vocabSize: tokens.length, bosTokenId: 1, eosTokenIds: [2] } as unknown as ModelConfig;
  const written = metadataOf(tokenizerPairs(tokenizerFilesFromGguf(metadata, name), config, name));

  expect(differingStrings(makeTokenizer(written), readGolden(name))).toEqual([]);
  const same = ["model", "tokens", "bos_token_id", "eos_token_id", "unknown_token_id"].map((key) => `tokenizer.ggml.${key}`);
  for (const key of [...same, "tokenizer.chat_template"]) expect(written.get(key), key).toEqual(metadata.get(key));
  if (metadata.has("tokenizer.ggml.merges")) {
    expect(written.get("tokenizer.ggml.pre")).toBe(metadata.get("tokenizer.ggml.pre"));
    expect(written.get("tokenizer.ggml.merges")).toEqual(metadata.get("tokenizer.ggml.merges"));
  }
});
