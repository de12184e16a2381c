/**
 * @file Kinds of tokenizers against the Rust tokenizers: each is exact, token for token, or refused. The goldens are
 * made by tests/reference/make_tokenizer_goldens.py.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createTokenizer, type Tokenizer } from "../../src/corpora/tokenizer.ts";
import { CusprunError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";

interface Kind {
  readonly name: string;
  readonly base: string;
  /** Parts that replace those of the base; of a model, its keys; added tokens are appended. */
  readonly parts: Readonly<Record<string, unknown>>;
  /** Of the ids of all texts; null if the Rust tokenizers refuse it. */
  readonly sha256: string | null;
}

const { texts, bases, kinds } = JSON.parse(
  readFileSync(join(import.meta.dirname, "../fixtures/tokenizers/kinds.json"), "utf8"),
) as { readonly texts: readonly string[]; readonly bases: Readonly<Record<string, JsonObject>>; readonly kinds: readonly Kind[] };

/** Kinds that models have. */
const USED = [
  "pre-tokenizer: words of GPT-2",
  "pre-tokenizer: Llama 3",
  "pre-tokenizer: Qwen",
  "pre-tokenizer: Tekken",
  "pre-tokenizer: DeepSeek",
  "pre-tokenizer: digits one by one",
  "pre-tokenizer: Falcon",
  "normalizer: NFC",
  "model: ignored merges",
  "added tokens: lstrip, bytes",
  "added tokens: rstrip, sp",
  "sp: a prefix by the normalizer",
  "sp: Metaspace first",
  "sp: Metaspace always, split",
  "sp: Gemma",
  "unigram",
  "post-processor: BOS",
  "post-processor: a sequence",
];

/** Kinds that only nearly are implemented by the library, or not at all. */
const REFUSED = [
  "pre-tokenizer: white space",
  "pre-tokenizer: merged with next",
  "pre-tokenizer: an atomic group",
  "normalizer: lower case",
  "normalizer: a dollar",
  "model: dropout",
  "added tokens: single word, bytes",
  "added tokens: a wrong id, bytes",
  "sp: an absent byte",
  "characters: no unknown token",
  "unigram: byte fallback",
  "wordpiece",
  "post-processor: two ids",
];

const outcomes = new Map(kinds.map((kind) => [kind.name, outcomeOf(kind)]));

describe("the tokenizer", () => {
  test.for(kinds)("is exact or refused: $name", ({ name, sha256 }) => {
    const outcome = outcomes.get(name);
    if (outcome !== "TOKENIZER_UNSUPPORTED" && outcome !== "TOKENIZER_INVALID") expect(outcome).toBe(sha256);
  });

  test("is exact for the kinds that models have, and refused for those that the library only nearly has", () => {
    const isRefused = (name: string): boolean => outcomes.get(name)?.startsWith("TOKENIZER_") ?? true;
    expect(USED.filter(isRefused)).toEqual([]);
    expect(REFUSED.filter((name) => !isRefused(name))).toEqual([]);
    expect([...outcomes.keys()].filter((name) => !isRefused(name)).length).toBeGreaterThanOrEqual(75);
  });
});

/** The digest of all texts' ids, or the code of the refusal. */
function outcomeOf(kind: Kind): string {
  let tokenizer: Tokenizer;
  try {
    tokenizer = createTokenizer({ tokenizerJson: jsonOf(kind), tokenizerConfig: {}, files: new Map() }, kind.name);
  } catch (error) {
    if (error instanceof CusprunError) return error.code;
    throw error;
  }
  const digest = createHash("sha256");
  for (const text of texts) {
    const ids = tokenizer.encode(text);
    digest.update(Int32Array.of(ids.length, ...ids));
  }
  return digest.digest("hex");
}

function jsonOf({ base, parts }: Kind): JsonObject {
  const { model, added_tokens: added = [], ...others } = parts;
  const json = bases[base]!;
  return {
    ...json,
    ...others,
    model: { ...(json["model"] as JsonObject), ...(model as JsonObject | undefined) },
    added_tokens: [...(json["added_tokens"] as unknown[]), ...(added as unknown[])],
  };
}
