/**
 * @file Ids that a tokenizer.json must not have, texts that its vocabulary loses, and tokens without a row in the
 * embedding.
 */

import { describe, expect, test } from "vitest";
import { readBpe } from "../../src/corpora/bpe.ts";
import { BYTE_CHARACTERS } from "../../src/corpora/byte-characters.ts";
import { toTokenDocument } from "../../src/corpora/token-document.ts";
import { createTokenizer } from "../../src/corpora/tokenizer.ts";
import { exactRegex } from "../../src/corpora/tokenizer-regex.ts";
import type { JsonObject } from "../../src/json.ts";

const BYTES = Object.fromEntries(BYTE_CHARACTERS.map((character, id) => [character, id]));
const BYTE_LEVEL = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };

function jsonWith(changes: JsonObject, vocab: JsonObject = BYTES, merges: unknown = []): JsonObject {
  return {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: BYTE_LEVEL,
    post_processor: null,
    decoder: BYTE_LEVEL,
    model: { type: "BPE", vocab, merges },
    ...changes,
  };
}

function open(json: JsonObject, rows?: number): ReturnType<typeof createTokenizer> {
  return createTokenizer({ tokenizerJson: json, tokenizerConfig: {}, files: new Map() }, "model", rows);
}

function added(content: unknown, id: unknown, more: JsonObject = {}): JsonObject {
  return jsonWith({ added_tokens: [{ content, id, special: true, ...more }] });
}

describe("createTokenizer refuses by name", () => {
  test.for<[string, JsonObject, string]>([
    ["a negative id", jsonWith({}, { ...BYTES, x: -1 }), 'model.vocab["x"]: found -1'],
    ["a fraction", jsonWith({}, { ...BYTES, xy: 0.5 }), 'model.vocab["xy"]: found 0.5'],
    ["a string", jsonWith({}, { ...BYTES, xy: "7" }), 'model.vocab["xy"]: found "7"'],
    ["2^31 − 1", jsonWith({}, { ...BYTES, xy: 2 ** 31 - 1 }), 'model.vocab["xy"]: found 2147483647'],
    ["an id beyond all integers", jsonWith({}, { ...BYTES, xy: 1e300 }), 'model.vocab["xy"]: found 1e+300'],
    ["an id of two tokens", jsonWith({}, { ...BYTES, xy: 3 }), 'model.vocab["xy"]: found id 3, as of token'],
    ["a list as vocabulary", jsonWith({ model: { type: "BPE", vocab: [1], merges: [] } }), "model.vocab: found [1]"],
    ["a merge of no tokens", jsonWith({}, BYTES, [["q", "qq"]]), 'model.merges: found the merge ["q","qq"]'],
    ["a merge of three", jsonWith({}, BYTES, ["a b c"]), 'model.merges[0]: found "a b c"'],
    ["merges in two forms", jsonWith({}, { ...BYTES, ab: 256 }, [["a", "b"], "a b"]), 'model.merges[1]: found "a b"'],
    ["an added token's string", added("<x>", "256"), 'added_tokens[0].id: found "256"'],
    ["an added token's negative id", added("<x>", -5), "added_tokens[0].id: found -5"],
    ["an added token's 2^31 − 1", added("<x>", 2 ** 31 - 1), "added_tokens[0].id: found 2147483647"],
    ["an added token's other id", added("<x>", 300), "expected 256, the id that the tokenizers library gives this token"],
    ["an added token without text", added(7, 256), "added_tokens[0]: found"],
    ["a flag that is none", added("<x>", 256, { lstrip: 1 }), "added_tokens[0].lstrip: found 1"],
    ["a Unigram model's text", jsonWith({ model: { type: "Unigram", vocab: [["a", "1"]], unk_id: 0 } }), "model.vocab[0]"],
  ])("%s", ([, json, message]) => {
    expect(() => open(json)).toThrow(
      expect.objectContaining({ code: "TOKENIZER_INVALID", message: expect.stringContaining(message) }),
    );
  });

  test("a vocabulary that does not give text back", () => {
    // U+0121 stands for the byte 0x7F: without its token, that byte is lost, as in Rust, and nothing else is.
    const { [BYTE_CHARACTERS[0x7f]!]: _, ...lossy } = BYTES;
    const lossyTokenizer = open(jsonWith({}, lossy));
    expect(lossyTokenizer.decode(lossyTokenizer.encode("a\u007Fb"))).toBe("ab");
    // Bytes are written as characters twice.
    const twice = jsonWith({ pre_tokenizer: { type: "Sequence", pretokenizers: [BYTE_LEVEL, BYTE_LEVEL] } });
    expect(() => open(twice)).toThrow(expect.objectContaining({ code: "TOKENIZER_UNSUPPORTED" }));
  });
});

describe("a token past the end of the embedding", () => {
  const json = added("[PAD]", 256);

  test("is refused where it occurs, with the text's source", () => {
    const tokenizer = open(json, 256);
    expect(tokenizer.vocabSize).toBe(257);
    expect([...tokenizer.encode("ab", "corpus.jsonl:3")]).toEqual([BYTES["a"], BYTES["b"]]);
    const refusal = {
      code: "TOKEN_WITHOUT_ROW",
      message: expect.stringMatching(/^corpus\.jsonl:4: found token 256 "\[PAD\]", expected tokens below 256/),
    };
    expect(() => tokenizer.encode("a [PAD]", "corpus.jsonl:4")).toThrow(expect.objectContaining(refusal));
    expect(() => toTokenDocument({ text: `${"x".repeat(30)}[PAD]`, source: "corpus.jsonl:4" }, tokenizer, 20)).toThrow(
      expect.objectContaining(refusal),
    );
  });

  test("is refused at opening if it is put around every text", () => {
    const template = {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "[PAD]", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      special_tokens: { "[PAD]": { id: "[PAD]", ids: [256], tokens: ["[PAD]"] } },
    };
    expect([...open({ ...json, post_processor: template }).prefix]).toEqual([256]);
    expect(() => open({ ...json, post_processor: template }, 256)).toThrow(
      expect.objectContaining({ code: "TOKENIZER_INVALID", message: expect.stringContaining("post_processor") }),
    );
  });

  test("is no part of the vocabulary that may be trimmed", () => {
    const bpe = readBpe({ tokenizerJson: json, tokenizerConfig: {}, files: new Map() }, 256, "model");
    expect([bpe.added, bpe.withoutRow]).toEqual([[], ["[PAD]"]]);
  });
});

test("patterns with one meaning in both engines are taken over, others are not", () => {
  expect(exactRegex("(?i:'s|'re|[kx])|\\p{L}+?(?=a)|[^\\s\\]]{1,3}")).toBe(
    "(?i:'[sſ]|'re|[kx\u212A])|\\p{L}+?(?=a)|[^\\s\\]]{1,3}",
  );
  const refused = [
    "a++",
    "a{2}?",
    "(?>a)b",
    "(?i)a",
    "[[:alpha:]]",
    "[a&&b]",
    "(a)\\1",
    "\\p{Alpha}",
    "a*",
    "(a?)+b",
    "(?i:st)",
    "a)",
    "(a",
    "[a",
    "\\R",
    "(?<n>a)",
    "a|",
  ];
  expect(refused.filter((source) => exactRegex(source) !== null)).toEqual([]);
});
