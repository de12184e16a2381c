/**
 * @file Texts → likelihood requests: token sequences whose last part is to be predicted. The rules are those of
 * EleutherAI/lm-evaluation-harness (`_encode_pair`, `get_rolling_token_windows`), so that figures can be compared with
 * published ones.
 */

import { familyNamed } from "../families/index.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import { CusprunError } from "../errors.ts";
import type { MultipleChoiceItem, PerplexityItem } from "./task-file.ts";

/** The harness puts this between a context and a choice, whatever the language. */
const DELIMITER = " ";
/**
 * Longest input by default, in tokens: attention maps grow with its square. The harness falls back to the same length.
 */
const MAX_CHOICE_TOKENS = 2048;
/**
 * Longest window of a document by default, in tokens. More context lowers perplexity, so it has to be the same
 * everywhere.
 */
const MAX_WINDOW_TOKENS = 1024;

/** A sequence whose last tokens are to be predicted. */
export interface LikelihoodRequest {
  /** The model's input, [T]; at least one token. */
  readonly input: Int32Array;
  /** The tokens to predict, [N] with 1 ≤ N ≤ T: target i follows input token T − N + i. */
  readonly targets: Int32Array;
}

/** Turns items into requests for one model. */
export class RequestMaker {
  readonly #tokenizer: Tokenizer;
  readonly #prefix: Int32Array;
  readonly #choiceTokens: number;
  readonly #windowTokens: number;

  /**
   * @param maxTokens longest input. Default: the model's number of positions, at most 2048 for a choice and 1024 for a
   *   document's window.
   * @throws CusprunError `USAGE` if the model has fewer positions than `maxTokens`.
   */
  constructor(tokenizer: Tokenizer, config: ModelConfig, maxTokens?: number) {
    const { maxPositionEmbeddings, bosTokenId, eosTokenIds } = config;
    if (maxTokens !== undefined && maxTokens > maxPositionEmbeddings) {
      throw new CusprunError("USAGE", {
        where: "--window",
        found: `${maxTokens} tokens`,
        expected: `at most ${maxPositionEmbeddings}, the model's number of positions`,
        remedy: `Write --window ${maxPositionEmbeddings}, or less`,
      });
    }
    this.#tokenizer = tokenizer;
    // A text's first token needs something before it.
    const bos = familyNamed(config.family).textStart === "bos" ? bosTokenId : null;
    const start = bos ?? eosTokenIds[0];
    this.#prefix = tokenizer.prefix.length > 0 || start === undefined ? tokenizer.prefix : Int32Array.of(start);
    this.#choiceTokens = maxTokens ?? Math.min(maxPositionEmbeddings, MAX_CHOICE_TOKENS);
    this.#windowTokens = maxTokens ?? Math.min(maxPositionEmbeddings, MAX_WINDOW_TOKENS);
  }

  /**
   * One request per choice. Context and choice are tokenised as one text; the choice's tokens are those after the first
   * n, with n the number of tokens of the context alone, without trailing spaces. A context that is too long loses its
   * beginning.
   * @throws CusprunError `TASK_TOKENS` for a choice without tokens, or one that is too long.
   */
  choices(item: MultipleChoiceItem): readonly LikelihoodRequest[] {
    const context = item.context.trimEnd();
    const contextTokens = context === "" ? this.#prefix : this.#tokenizer.encode(context, item.source);
    return item.choices.map((choice, index) => {
      const whole = item.context + DELIMITER + choice;
      const tokens = context === "" ? this.#withPrefix(whole, item.source) : this.#tokenizer.encode(whole, item.source);
      const targets = tokens.subarray(contextTokens.length);
      if (targets.length === 0 || targets.length > this.#choiceTokens || contextTokens.length === 0) {
        throw new CusprunError("TASK_TOKENS", {
          where: `${item.source}: choices[${index}]`,
          found: contextTokens.length === 0 ? "nothing to predict it from" : `${targets.length} tokens`,
          expected: `1 to ${this.#choiceTokens} tokens after a context`,
          remedy: targets.length > this.#choiceTokens ? "Shorten the choice, or pass a longer --window" : "Correct the item",
        });
      }
      const input = concatenate(contextTokens, targets.subarray(0, -1));
      return { input: input.slice(-this.#choiceTokens), targets: targets.slice() };
    });
  }

  /**
   * A text in windows: every token is predicted once, the first from BOS (or from EOS if the model has no BOS). A
   * window begins with the token before its first target; the last window, which has fewer targets, begins as early as
   * its length allows.
   * @throws CusprunError `TASK_TOKENS` for a text without tokens.
   */
  windows(item: PerplexityItem): readonly LikelihoodRequest[] {
    const tokens = this.#withPrefix(item.text, item.source);
    const first = Math.max(1, this.#prefix.length);
    if (tokens.length <= first) {
      throw new CusprunError("TASK_TOKENS", {
        where: item.source,
        found: `a text of ${tokens.length} tokens`,
        expected: "at least one token to predict",
        remedy: "Remove the line",
      });
    }
    const requests: LikelihoodRequest[] = [];
    for (let start = first; start < tokens.length;) {
      const end = Math.min(tokens.length, start + this.#windowTokens);
      requests.push({
        input: tokens.slice(Math.max(0, end - 1 - this.#windowTokens), end - 1),
        targets: tokens.slice(start, end),
      });
      start = end;
    }
    return requests;
  }

  #withPrefix(text: string, source: string): Int32Array {
    return concatenate(this.#prefix, this.#tokenizer.encode(text, source).subarray(this.#tokenizer.prefix.length));
  }
}

function concatenate(first: Int32Array, second: Int32Array): Int32Array {
  const result = new Int32Array(first.length + second.length);
  result.set(first);
  result.set(second, first.length);
  return result;
}
