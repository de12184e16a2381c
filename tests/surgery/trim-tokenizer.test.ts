/** @file Trimmed tokenizers: texts of kept tokens are encoded as before, all others without loss. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tokenizerFilesFromGguf } from "../../src/checkpoint/gguf/tokenizer.ts";
import { deriveTokens, readBpe } from "../../src/corpora/bpe.ts";
import { renumberTokens, trimTokenizer } from "../../src/surgery/trim-tokenizer.ts";
import { trickyStrings } from "../reference/texts.mjs";
import { realMetadata } from "../support/gguf-tokenizers.ts";
import { defectOf, postProcessorIds, smallSentencePiece, trimVocabulary } from "../support/trimmed-vocabularies.ts";

const SMOLLM2 = { files: tokenizerFilesFromGguf(await realMetadata("smollm2"), "smollm2"), vocabSize: 49_152 };
const SMALL_SIZE = 3 + 256 + 6 + 12;

/** A number in [0, 1) that depends on id and seed alone. */
const noise = (id: number, seed: number): number =>
  (Math.imul(id + 1, 2_654_435_761) ^ Math.imul(seed + 7, 40_503)) / 2 ** 32 + 0.5;

describe("byte-level BPE (SmolLM2)", () => {
  test.each([0.2, 0.6, 0.95])("without a share of %d of its tokens, by merge rank", (share) => {
    const made = trimVocabulary(SMOLLM2.files, SMOLLM2.vocabSize, share, (id) => 1 / (id + 1));
    expect(trickyStrings().flatMap((text) => defectOf(made, text) ?? [])).toEqual([]);
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => defectOf(made, text) === null),
      { numRuns: 300, seed: 1 },
    );
  });

  test("without a random half of its tokens, texts made of the kept ones are encoded as before", () => {
    const made = trimVocabulary(SMOLLM2.files, SMOLLM2.vocabSize, 0.5, (id) => noise(id, 3));
    const kept = [...made.ids.keys()];
    const texts = Array.from({ length: 2000 }, (_, n) =>
      made.dense.decode(Int32Array.from({ length: 6 }, (__, i) => kept[Math.floor(noise(n * 6 + i, 5) * kept.length)]!)),
    );
    const defects = texts.flatMap((text) => defectOf(made, text) ?? []);
    expect(defects).toEqual([]);
    const wholly = texts.filter((text) => made.dense.encode(text).every((id) => made.ids.has(id)));
    expect(wholly.length).toBeGreaterThan(200);
  });
});

describe("SentencePiece-style BPE with byte fallback", () => {
  const texts = fc.string({ unit: fc.constantFrom("a", "b", "c", "d", "e", " ", "ß", "漢") });

  test.each([0.3, 0.7, 1])("without a share of %d of its tokens", (share) => {
    for (const seed of [1, 2, 3]) {
      const made = trimVocabulary(smallSentencePiece(), SMALL_SIZE, share, (id) => noise(id, seed));
      fc.assert(
        fc.property(texts, (text) => defectOf(made, text) === null),
        { numRuns: 200, seed },
      );
    }
  });

  test("leaves out the names of removed tokens, which transformers would add again", () => {
    const files = smallSentencePiece();
    const removed = Object.entries((files.tokenizerJson["model"] as { vocab: Record<string, number> }).vocab).at(-1)!;
    const special = {
      bos_token: "<s>",
      pad_token: { content: removed[0] },
      additional_special_tokens: [removed[0], "</s>", "<later>"],
    };
    const named = {
      ...files,
      tokenizerConfig: {
        ...files.tokenizerConfig,
        pad_token: removed[0],
        mask_token: "<later>",
        eos_token_id: 2,
        sep_token_id: removed[1],
      },
      files: new Map([...files.files, ["special_tokens_map.json", Buffer.from(JSON.stringify(special))]]),
    };
    const kept = Array.from({ length: SMALL_SIZE }, (_, id) => id).filter((id) => id !== removed[1]);
    const trimmed = trimTokenizer(named, renumberTokens(kept));
    expect(trimmed.tokenizerConfig).toMatchObject({ mask_token: "<later>", eos_token_id: 2 });
    expect(trimmed.tokenizerConfig).not.toHaveProperty("pad_token");
    expect(JSON.parse(Buffer.from(trimmed.files.get("special_tokens_map.json")!).toString())).toEqual({
      bos_token: "<s>",
      additional_special_tokens: ["</s>", "<later>"],
    });
    expect(trimmed.leftOut).toEqual([
      "tokenizer_config.json: sep_token_id",
      "tokenizer_config.json: pad_token",
      "special_tokens_map.json: pad_token",
    ]);
  });

  test("renumbers special tokens wherever they occur, and leaves out files that would contradict", () => {
    const made = trimVocabulary(smallSentencePiece(), SMALL_SIZE, 1, () => 0);
    expect(postProcessorIds(made.files)).toEqual({ "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } });
    expect([...made.files.files.keys()]).toEqual(["tokenizer.json", "tokenizer_config.json"]);
    const vocab = (made.files.tokenizerJson["model"] as { vocab: Record<string, number> }).vocab;
    expect(Object.values(vocab)).toEqual(Object.values(vocab).map((_, index) => index));
  });
});

test("a token derives from the pair that merging its text joins last", () => {
  const bpe = readBpe(smallSentencePiece(), SMALL_SIZE, "test");
  const derivations = deriveTokens(bpe);
  const id = (text: string): number => bpe.vocab.get(text)!;
  // "ab" is the best merge, so "abc" is ab + c although a + bc is also possible.
  expect(derivations.get(id("abc"))).toEqual([id("ab"), id("c")]);
  expect(derivations.get(id("abcde"))).toEqual([id("abc"), id("de")]);
  expect(derivations.get(id("ab"))).toEqual([id("a"), id("b")]);
  expect(derivations.has(id("a"))).toBe(false);
  // "de" is joined before "ee", so "dee" is de + e; "cde" is never reached through "cd", which is not a token.
  expect(derivations.get(id("dee"))).toEqual([id("de"), id("e")]);
  expect(derivations.get(id("cde"))).toEqual([id("c"), id("de")]);
});
