/**
 * @file Tokenisation with SmolLM2 against llama.cpp, with every pre-tokenizer on its vocabulary, and invalid
 * tokenizers. The goldens are made by tests/reference/llama-tokenize.mjs; the other two models are in tests/real.
 */

import { describe, expect, test } from "vitest";
import { tokenizerFilesFromGguf } from "../../src/checkpoint/gguf/tokenizer.ts";
import { createTokenizer } from "../../src/corpora/tokenizer.ts";
import { CusprunError } from "../../src/errors.ts";
import { shortDigest, trickyStrings } from "../reference/texts.mjs";
import { differingStrings, digestFiles, makeTokenizer, readGolden, realMetadata } from "../support/gguf-tokenizers.ts";

interface Variants {
  readonly variants: readonly {
    readonly model: "smollm2" | "gemma3";
    readonly key: string;
    readonly value: string | boolean;
    readonly digests: readonly string[];
  }[];
}

const golden = readGolden("smollm2");
const metadata = await realMetadata("smollm2");
const tokenizer = makeTokenizer(metadata);

describe("SmolLM2's tokenizer", () => {
  test("yields llama.cpp's ids for tricky strings", () => {
    expect(golden.strings.map(({ text }) => text)).toEqual(trickyStrings());
    expect(differingStrings(tokenizer, golden)).toEqual([]);
  });

  test("yields llama.cpp's ids for every preset", () => {
    const { files, found, expected } = digestFiles(tokenizer, golden);
    expect(files).toBeGreaterThanOrEqual(19);
    expect(found).toEqual(expected);
  });

  test("has the vocabulary's size, and no BOS if the file says so", () => {
    expect(tokenizer.vocabSize).toBe(49152);
    expect(Array.from(tokenizer.prefix)).toEqual([]);
  });

  test("adds BOS and EOS if the file says so", () => {
    const framed = makeTokenizer(metadata, { "tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.add_eos_token": true });
    const bare = Array.from(tokenizer.encode("Hello there."));
    expect(Array.from(framed.prefix)).toEqual([1]);
    expect(Array.from(framed.encode("Hello there."))).toEqual([1, ...bare, 2]);
  });

  test("decodes what it encodes", () => {
    // Bytes without a token are lost, as in llama.cpp: strings with control characters or from rare planes are
    // excluded.
    const texts = golden.strings
      .map(({ text }) => text)
      .filter((text) => /^[\p{L}\p{N}\p{P}\p{Sc}\p{Sm} \n]*$/u.test(text) && text !== "");
    expect(texts.length).toBeGreaterThan(200);
    for (const text of texts) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(tokenizer.decode(new Int32Array(0))).toBe("");
  });
});

describe("every pre-tokenizer", () => {
  const { variants } = readGolden<Variants>("variants");
  test.for(variants.filter(({ model }) => model === "smollm2"))(
    "$value gives llama.cpp's ids for the tricky strings",
    ({ key, value, digests }) => {
      const variant = makeTokenizer(metadata, { [key]: value });
      const differing = trickyStrings().filter(
        (text, index) => shortDigest(variant.encode(text).subarray(variant.prefix.length)) !== digests[index],
      );
      expect(differing).toEqual([]);
    },
  );
});

describe("createTokenizer", () => {
  const files = tokenizerFilesFromGguf(metadata, "model.gguf");

  test.for([
    ["empty", {}, "TOKENIZER_INVALID"],
    ["without a model", { ...files.tokenizerJson, model: undefined }, "TOKENIZER_INVALID"],
    ["with an unknown model", { ...files.tokenizerJson, model: { type: "Riddle" } }, "TOKENIZER_UNSUPPORTED"],
    ["with an incomplete model", { ...files.tokenizerJson, model: { type: "BPE" } }, "TOKENIZER_INVALID"],
    ["with an unknown pre-tokenizer", { ...files.tokenizerJson, pre_tokenizer: { type: "Riddle" } }, "TOKENIZER_UNSUPPORTED"],
    ["with invalid added tokens", { ...files.tokenizerJson, added_tokens: 3 }, "TOKENIZER_INVALID"],
  ] as const)("refuses a tokenizer.json %s", ([, tokenizerJson, code]) => {
    const make = (): unknown => createTokenizer({ ...files, tokenizerJson }, "some-model");
    expect(make).toThrow(CusprunError);
    expect(make).toThrow(expect.objectContaining({ code, message: expect.stringContaining("some-model: tokenizer.json") }));
  });

  test("ends a regular expression that backtracks for ever, and refuses the tokenizer", () => {
    const pre_tokenizer = { type: "Split", pattern: { Regex: "(a+)+b" }, behavior: "Isolated", invert: false };
    const tokenizer = createTokenizer({ ...files, tokenizerJson: { ...files.tokenizerJson, pre_tokenizer } }, "some-model");
    expect(tokenizer.encode("aab")).not.toHaveLength(0);
    expect(() => tokenizer.encode("a".repeat(64))).toThrow(
      expect.objectContaining({ code: "TOKENIZER_INVALID", message: expect.stringContaining("no result within 5 seconds") }),
    );
  });
});
