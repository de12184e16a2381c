/**
 * @file GGUF header → tokenizer files, with tiny vocabularies: form, defaults and invalid input. Equality with
 * llama.cpp is tested in tests/corpora.
 */

import { describe, expect, test } from "vitest";
import type { GgufMetadata, GgufValue } from "../../../src/checkpoint/gguf/header.ts";
import { tokenizerFilesFromGguf } from "../../../src/checkpoint/gguf/tokenizer.ts";
import { createTokenizer } from "../../../src/corpora/tokenizer.ts";
import { CusprunError } from "../../../src/errors.ts";

type Values = Readonly<Record<string, GgufValue | undefined>>;

/** Byte-level BPE: `ab` and `abc` are merged; `<|x|>` is control, `<u>` user-defined. */
const GPT2: Values = {
  "tokenizer.ggml.model": "gpt2",
  "tokenizer.ggml.pre": "gpt-2",
  "tokenizer.ggml.tokens": ["a", "b", "c", "ab", "abc", "<|x|>", "<u>", "Ġ"],
  "tokenizer.ggml.token_type": Int32Array.from([1, 1, 1, 1, 1, 3, 4, 1]),
  "tokenizer.ggml.merges": ["a b", "ab c"],
};

/** SentencePiece BPE with scores; `bc` beats `ab`, and text without a token falls back to bytes. */
const LLAMA: Values = {
  "tokenizer.ggml.model": "llama",
  "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a", "b", "c", "ab", "bc", "▁", "<0xC3>", "<0xA9>"],
  "tokenizer.ggml.scores": Float32Array.from([0, 0, 0, -3, -4, -5, -2, -1, -6, 0, 0]),
  "tokenizer.ggml.token_type": Int32Array.from([2, 3, 3, 1, 1, 1, 1, 1, 1, 6, 6]),
};

const metadataOf = (values: Values): GgufMetadata =>
  new Map(Object.entries(values).filter((entry): entry is [string, GgufValue] => entry[1] !== undefined));
const filesOf = (values: Values): ReturnType<typeof tokenizerFilesFromGguf> =>
  tokenizerFilesFromGguf(metadataOf(values), "m.gguf");
const idsOf = (values: Values, text: string): number[] => Array.from(createTokenizer(filesOf(values), "m.gguf").encode(text));

describe("tokenizerFilesFromGguf", () => {
  test("gpt2: merges, control and user-defined tokens, no BOS", () => {
    expect(idsOf(GPT2, "abcab c<|x|><u>a")).toEqual([4, 3, 7, 2, 5, 6, 0]);
  });

  test("gpt2: llama-bpe uses whole words and adds BOS by default", () => {
    const values = {
      ...GPT2,
      "tokenizer.ggml.pre": "llama-bpe",
      "tokenizer.ggml.merges": ["a b"],
      "tokenizer.ggml.bos_token_id": 5,
    };
    expect(idsOf(values, "abc")).toEqual([5, 4]);
    expect(idsOf({ ...values, "tokenizer.ggml.add_bos_token": false }, "abc")).toEqual([4]);
  });

  test("llama: best score first, prefix space, BOS and byte fallback by default", () => {
    expect(idsOf(LLAMA, "abc")).toEqual([1, 8, 3, 7]);
    expect(idsOf({ ...LLAMA, "tokenizer.ggml.add_space_prefix": false }, "abcé")).toEqual([1, 3, 7, 9, 10]);
  });

  test("llama: the prefix space follows every special token", () => {
    expect(idsOf(LLAMA, "a</s>a")).toEqual([1, 8, 3, 2, 8, 3]);
  });

  test("writes special tokens, chat template and class to tokenizer_config.json, and has both files as bytes", () => {
    const { files, tokenizerConfig, tokenizerJson } = filesOf({
      ...GPT2,
      "tokenizer.ggml.eos_token_id": 5,
      "tokenizer.ggml.padding_token_id": 0,
      "tokenizer.chat_template": "{{ messages }}",
    });
    expect(tokenizerConfig).toMatchObject({
      tokenizer_class: "PreTrainedTokenizerFast",
      add_bos_token: false,
      eos_token: "<|x|>",
      chat_template: "{{ messages }}",
    });
    // Token 0 is an ordinary one: named as padding, transformers would make it special.
    expect(tokenizerConfig).not.toHaveProperty("pad_token");
    const parse = (name: string): unknown => JSON.parse(new TextDecoder().decode(files.get(name)));
    expect(parse("tokenizer.json")).toEqual(tokenizerJson);
    expect(parse("tokenizer_config.json")).toEqual(tokenizerConfig);
  });

  test.for([4_294_967_295, 99, -1])("padding with %d, which is no token, is ignored", (id) => {
    expect(filesOf({ ...GPT2, "tokenizer.ggml.padding_token_id": id }).tokenizerConfig).not.toHaveProperty("pad_token");
    expect(() => filesOf({ ...GPT2, "tokenizer.ggml.eos_token_id": id })).toThrow(
      expect.objectContaining({ code: "TOKENIZER_INVALID" }),
    );
  });

  test("a token named __proto__ is a token", () => {
    const values = { ...GPT2, "tokenizer.ggml.tokens": ["a", "b", "c", "ab", "abc", "<|x|>", "<u>", "__proto__"] };
    expect(createTokenizer(filesOf(values), "m.gguf").decode(Int32Array.of(7))).toBe("__proto__");
  });

  test.for<[string, Values, string, string[]]>([
    ["no model", { "tokenizer.ggml.model": undefined }, "TOKENIZER_INVALID", ["tokenizer.ggml.model", "nothing"]],
    ["an unknown model", { "tokenizer.ggml.model": "bert" }, "TOKENIZER_UNSUPPORTED", ["bert", "'gpt2' or 'llama'"]],
    [
      "an unknown pre-tokenizer",
      { "tokenizer.ggml.pre": "mystery" },
      "TOKENIZER_UNSUPPORTED",
      ["mystery", "smollm", "qwen2", "llama-bpe", "tekken"],
    ],
    ["no tokens", { "tokenizer.ggml.tokens": undefined }, "TOKENIZER_INVALID", ["tokenizer.ggml.tokens", "an array of strings"]],
    ["tokens that are numbers", { "tokenizer.ggml.tokens": Int32Array.of(1) }, "TOKENIZER_INVALID", ["Int32Array"]],
    ["a duplicate token", { "tokenizer.ggml.tokens": ["a", "b", "a"] }, "TOKENIZER_INVALID", ['"a" at 0 and at 2']],
    [
      "a token that is too long",
      { "tokenizer.ggml.tokens": ["a".repeat(5000)] },
      "TOKENIZER_INVALID",
      ["5000 characters", "at most 4096"],
    ],
    [
      "too few token types",
      { "tokenizer.ggml.token_type": Int32Array.of(1) },
      "TOKENIZER_INVALID",
      ["1 entries", "8, one per token"],
    ],
    ["no merges", { "tokenizer.ggml.merges": undefined }, "TOKENIZER_INVALID", ["tokenizer.ggml.merges"]],
    ["a merge of one token", { "tokenizer.ggml.merges": ["ab"] }, "TOKENIZER_INVALID", ['merge 0 "ab"']],
    ["a merge whose result is not a token", { "tokenizer.ggml.merges": ["a b", "b c"] }, "TOKENIZER_INVALID", ['merge 1 "b c"']],
    ["a BOS beyond the vocabulary", { "tokenizer.ggml.bos_token_id": 8 }, "TOKENIZER_INVALID", ["bos_token_id", "an id below 8"]],
    ["a BOS to add without an id", { "tokenizer.ggml.add_bos_token": true }, "TOKENIZER_INVALID", ["add_bos_token true"]],
    ["add_bos_token as a number", { "tokenizer.ggml.add_bos_token": 1 }, "TOKENIZER_INVALID", ["true or false"]],
    [
      "a chat template that is not a string",
      { "tokenizer.chat_template": 7 },
      "TOKENIZER_INVALID",
      ["tokenizer.chat_template", "a string"],
    ],
  ])("refuses %s", ([, changes, code, parts]) => {
    let thrown: unknown;
    try {
      filesOf({ ...GPT2, ...changes });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(CusprunError);
    expect(thrown).toMatchObject({ code });
    for (const part of ["m.gguf", ...parts]) expect((thrown as Error).message).toContain(part);
  });

  test("refuses too few scores", () => {
    const make = (): unknown => filesOf({ ...LLAMA, "tokenizer.ggml.scores": Float32Array.of(1, 2) });
    expect(make).toThrow(expect.objectContaining({ code: "TOKENIZER_INVALID", message: expect.stringContaining("2 entries") }));
  });
});
