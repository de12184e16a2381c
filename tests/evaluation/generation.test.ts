/** @file Greedy continuations of tiny models against those of the plain f64 forward pass, run again for every token. */

import { describe, expect, test } from "vitest";
import { continuePrompts } from "../../src/evaluation/generation.ts";
import { createTokenizer } from "../../src/corpora/tokenizer.ts";
import { referenceLogits } from "../support/reference-forward.ts";
import { TINY_FAMILIES, tinyCheckpoint, tinyModel, tinyTokenizerFiles, type TinyModel } from "../support/tiny-models.ts";

const MAX_TOKENS = 6;
const PROMPTS = [[5, 9, 3, 40, 22, 11, 6, 13], [7], [30, 4, 8], [9, 9, 1, 17, 2]];

/** Ids that the model generates, up to a token of `ends`. */
function referenceIds({ configJson, tensors }: TinyModel, prompt: readonly number[], ends: readonly number[]): number[] {
  const ids = [...prompt];
  const weights = new Map([...tensors].map(([name, { shape, values }]) => [name, { shape, values: Float64Array.from(values) }]));
  while (ids.length < prompt.length + MAX_TOKENS) {
    const row = [...referenceLogits(configJson, weights, ids).at(-1)!];
    const next = row.indexOf(Math.max(...row));
    if (ends.includes(next)) break;
    ids.push(next);
  }
  return ids.slice(prompt.length);
}

const textOf = (ids: readonly number[]): string => ids.map((id) => ` w${id}`).join("");

async function generate(model: TinyModel, isDone: (text: string) => boolean = () => false): Promise<readonly string[]> {
  const tokenizer = createTokenizer(tinyTokenizerFiles(model.config.vocabSize), "tiny");
  const prompts = PROMPTS.map((tokens) => ({ tokens: Int32Array.from(tokens), maxTokens: MAX_TOKENS, isDone }));
  return continuePrompts(tinyCheckpoint(model), tokenizer, prompts, "generating", {});
}

describe.each(TINY_FAMILIES)("%s", (family) => {
  test("continues prompts of different lengths together, as the reference does", async () => {
    const model = tinyModel(family);
    const noEnd = { ...model, config: { ...model.config, eosTokenIds: [] } };
    expect(await generate(noEnd)).toEqual(PROMPTS.map((prompt) => textOf(referenceIds(model, prompt, []))));
  });
});

describe("a continuation", () => {
  const model = tinyModel("llama");

  test("ends before a token that ends texts", async () => {
    const first = referenceIds(model, PROMPTS[0]!, []);
    const ends = [first[2]!];
    const ending = { ...model, config: { ...model.config, eosTokenIds: ends } };
    const expected = PROMPTS.map((prompt) => textOf(referenceIds(model, prompt, ends)));
    expect(expected[0]!.split(" ").length).toBeLessThan(1 + MAX_TOKENS);
    expect(await generate(ending)).toEqual(expected);
  });

  test("ends when the answer is complete", async () => {
    const noEnd = { ...model, config: { ...model.config, eosTokenIds: [] } };
    const texts = await generate(noEnd, (text) => text.split(" ").length > 2);
    expect(texts.map((text) => text.split(" ").length)).toEqual([3, 3, 3, 3]);
  });

  test("stops when it is aborted; without prompts nothing is computed", async () => {
    const tokenizer = createTokenizer(tinyTokenizerFiles(model.config.vocabSize), "tiny");
    const prompts = [{ tokens: Int32Array.of(1), maxTokens: 1, isDone: () => false }];
    const aborted = continuePrompts(tinyCheckpoint(model), tokenizer, prompts, "", {
      signal: AbortSignal.abort(new Error("enough")),
    });
    await expect(aborted).rejects.toThrow("enough");
    expect(await continuePrompts(tinyCheckpoint(model), tokenizer, [], "", {})).toEqual([]);
  });
});
