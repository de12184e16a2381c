/** @file Items → requests, against a transcription of the lm-evaluation-harness' own functions. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Tokenizer } from "../../src/corpora/tokenizer.ts";
import { RequestMaker } from "../../src/evaluation/requests.ts";
import { tinyModel } from "../support/tiny-models.ts";

const { config } = tinyModel("llama");
const BOS = 1;

/**
 * A token per character (its code), but `ab`, ` b` and two spaces are single tokens, which may span a context and a
 * choice.
 */
function characters(prefix: readonly number[]): Tokenizer {
  const encode = (text: string): Int32Array =>
    Int32Array.of(
      ...prefix,
      ...(text.match(/ab| b| {2}|[^]/gu) ?? []).map(
        (piece) => 200 + Array.from(piece).reduce((sum, c) => sum * 7 + c.charCodeAt(0), 0),
      ),
    );
  return { vocabSize: 10_000, prefix: Int32Array.from(prefix), encode, decode: () => "" };
}

/** `_encode_pair`, and the inputs that `_loglikelihood_tokens` makes from it. */
function harnessPair(tokenizer: Tokenizer, context: string, choice: string, maxLength: number): [number[], number[]] {
  let continuation = ` ${choice}`;
  let own = context;
  const spaces = own.length - own.trimEnd().length;
  if (spaces > 0) [own, continuation] = [own.slice(0, -spaces), own.slice(-spaces) + continuation];
  const whole = [...tokenizer.encode(own + continuation)];
  const contextTokens = [...tokenizer.encode(own)];
  const targets = whole.slice(contextTokens.length);
  return [[...contextTokens, ...targets].slice(-(maxLength + 1)).slice(0, -1), targets];
}

/**
 * `get_rolling_token_windows` with a context of one token, then `make_disjoint_window`: (context and all targets except
 * the last, targets).
 */
function harnessWindows(tokens: readonly number[], prefix: number, maxLength: number): [number[], number[]][] {
  const windows: [number[], number[]][] = [
    [[prefix, ...tokens.slice(0, Math.min(maxLength, tokens.length) - 1)], tokens.slice(0, maxLength)],
  ];
  for (let predicted = Math.min(maxLength, tokens.length); predicted < tokens.length;) {
    const count = Math.min(tokens.length - predicted, maxLength);
    const end = predicted + count;
    windows.push([tokens.slice(end - maxLength - 1, end - 1), tokens.slice(end - count, end)]);
    predicted = end;
  }
  return windows;
}

const plain = (requests: readonly { input: Int32Array; targets: Int32Array }[]): [number[], number[]][] =>
  requests.map(({ input, targets }) => [[...input], [...targets]]);

const TEXT = fc.stringMatching(/^[ab xy]{1,24}$/);

describe("requests", () => {
  test.each([[[]], [[BOS]]])("of choices are the harness's, with the prefix %j", (prefix) => {
    const tokenizer = characters(prefix);
    fc.assert(
      fc.property(
        TEXT.filter((context) => context.trim() !== ""),
        fc.array(fc.stringMatching(/^[abxy]{1,6}$/), { minLength: 2, maxLength: 4 }),
        // No fewer than the longest choice with all spaces before it: longer choices are refused.
        fc.integer({ min: 20, max: 40 }),
        (context, choices, maxLength) => {
          const item = { type: "multiple_choice", id: "1", source: "made up", context, choices, answer: 0 } as const;
          const expected = choices.map((choice) => harnessPair(tokenizer, context, choice, maxLength));
          expect(plain(new RequestMaker(tokenizer, config, maxLength).choices(item))).toEqual(expected);
        },
      ),
    );
  });

  test("of choices without a context begin with BOS", () => {
    const item = { type: "multiple_choice", id: "1", source: "made up", context: "", choices: ["x", "yy"], answer: 0 } as const;
    const [space, x, y] = [...characters([]).encode(" xy")];
    for (const prefix of [[], [BOS]]) {
      expect(plain(new RequestMaker(characters(prefix), config).choices(item))).toEqual([
        [
          [BOS, space],
          [space, x],
        ],
        [
          [BOS, space, y],
          [space, y, y],
        ],
      ]);
    }
  });

  test("of texts are the harness's windows", () => {
    const tokenizer = characters([]);
    fc.assert(
      fc.property(TEXT, fc.integer({ min: 1, max: 30 }), (text, maxLength) => {
        const item = { type: "perplexity", id: "1", source: "made up", text } as const;
        const expected = harnessWindows([...tokenizer.encode(text)], BOS, maxLength);
        expect(plain(new RequestMaker(tokenizer, config, maxLength).windows(item))).toEqual(expected);
      }),
    );
  });

  test("of texts have BOS once if the tokenizer adds it", () => {
    const item = { type: "perplexity", id: "1", source: "made up", text: "xyxyx" } as const;
    const windows = (prefix: readonly number[]) => plain(new RequestMaker(characters(prefix), config, 3).windows(item));
    expect(windows([BOS])).toEqual(windows([]));
  });

  test("of texts begin with EOS if transformers' tokenizer has no BOS, even if the config names one", () => {
    const item = { type: "perplexity", id: "1", source: "made up", text: "xy" } as const;
    const [llama] = new RequestMaker(characters([]), { ...config, family: "llama" }).windows(item);
    expect(llama!.input[0]).toBe(config.bosTokenId);
    const [qwen] = new RequestMaker(characters([]), { ...config, family: "qwen2", eosTokenIds: [7, 8] }).windows(item);
    expect(qwen!.input[0]).toBe(7);
  });

  test("refuse inputs that the model cannot take", () => {
    const item = {
      type: "multiple_choice",
      id: "1",
      source: "sky.jsonl:3",
      context: "x",
      choices: ["y", "yyyyy"],
      answer: 0,
    } as const;
    expect(() => new RequestMaker(characters([]), config, config.maxPositionEmbeddings + 1)).toThrow("at most 128");
    expect(() => new RequestMaker(characters([]), config, 4).choices(item)).toThrow("sky.jsonl:3: choices[1]: found 6 tokens");
    const lone = { ...config, bosTokenId: null, eosTokenIds: [] };
    expect(() => new RequestMaker(characters([]), lone).choices({ ...item, context: " " })).toThrow("nothing to predict it from");
    const text = { type: "perplexity", id: "1", source: "sky.jsonl:4", text: "x" } as const;
    expect(() => new RequestMaker(characters([]), lone).windows(text)).toThrow("sky.jsonl:4");
  });
});
