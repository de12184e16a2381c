/**
 * @file Tokens that an expert always keeps, whatever its corpora contain: without them, some text could not be encoded
 * or the model not be used as intended.
 */

import type { TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { configTokenIds } from "../checkpoint/config/token-ids.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { BYTE_TOKEN, type BpeModel } from "./bpe.ts";
import { byteLevelText } from "./byte-characters.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Scripts of written languages, by their Unicode names. */
const SCRIPTS: readonly string[] = (
  "Arabic Armenian Bengali Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul Hebrew Hiragana Kannada " +
  "Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Oriya Sinhala Tamil Telugu Thai Tibetan"
).split(" ");

/** A script belongs to a text if more than this share of the text's letters is in it. */
const SCRIPT_SHARE = 0.01;

/** Role names that callers pass to chat templates. */
const CHAT_ROLES: readonly string[] = ["system", "user", "assistant", "model", "tool"];

/** Names of reserved tokens, which were never used: their embedding rows are untrained. */
const RESERVED = /^(?:<unused\d+>|<\|reserved_special_token_\d+\|>|<SPECIAL_\d+>|\[PAD\d+\])$/;

/** Counts the letters of each script in texts. */
export class ScriptCounter {
  readonly #counts = new Map<string, number>();
  #letters = 0;

  add(text: string): void {
    this.#letters += text.match(/\p{L}/gu)?.length ?? 0;
    for (const script of SCRIPTS) {
      const count = text.match(SCRIPT_PATTERNS.get(script)!)?.length ?? 0;
      this.#counts.set(script, (this.#counts.get(script) ?? 0) + count);
    }
  }

  /** The scripts that the texts are written in. */
  scripts(): readonly string[] {
    return SCRIPTS.filter((script) => (this.#counts.get(script) ?? 0) > SCRIPT_SHARE * this.#letters);
  }
}

const SCRIPT_PATTERNS: ReadonlyMap<string, RegExp> = new Map(
  SCRIPTS.map((script) => [script, new RegExp(`\\p{Script=${script}}`, "gu")]),
);

/**
 * Bytes, added tokens (including special ones, but not reserved ones), the unknown token, single characters of ASCII
 * and of the given scripts, the tokens of the chat template's own words, and tokens that a config names. Tokens that
 * these are merged from are not included.
 * @param configs config.json and generation_config.json, or null if absent.
 * @param vocabSize rows of the embedding.
 * @returns ids, in any order.
 */
export function alwaysKeptTokens(
  bpe: BpeModel,
  { tokenizerConfig }: TokenizerFiles,
  tokenizer: Tokenizer,
  configs: readonly (JsonObject | null)[],
  scripts: readonly string[],
  vocabSize: number,
): ReadonlySet<number> {
  const kept = new Set<number>(bpe.added.filter(({ text }) => !RESERVED.test(text)).map(({ id }) => id));
  const textOf = bpe.isByteLevel ? byteLevelText : (token: string): string => token;
  const ownScript = new RegExp(`^[\\p{ASCII}▁${scripts.map((script) => `\\p{Script=${script}}`).join("")}]$`, "u");
  for (const [token, id] of bpe.vocab) {
    const isByte = bpe.isByteLevel ? token.length === 1 : BYTE_TOKEN.test(token);
    if (isByte || token === bpe.unknown || ownScript.test(textOf(token))) kept.add(id);
  }
  for (const config of [...configs, tokenizerConfig]) for (const id of configTokenIds(config ?? {}, vocabSize)) kept.add(id);
  for (const text of templateTexts(tokenizerConfig["chat_template"])) {
    const readable = bpe.withoutRow.reduce((rest, token) => rest.replaceAll(token, " "), text);
    for (const id of tokenizer.encode(readable, "the chat template")) kept.add(id);
  }
  return kept;
}

/** The words of a chat template: text outside its tags, and quoted strings. The template is not executed. */
function templateTexts(template: unknown): string[] {
  const templates = (Array.isArray(template) ? template : [template]).map((entry: unknown) =>
    isJsonObject(entry) ? entry["template"] : entry,
  );
  const texts = templates
    .filter((entry) => typeof entry === "string")
    .flatMap((text) => [
      ...text.split(/\{[{%#].*?[}%#]\}/s),
      ...[...text.matchAll(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/gs)].map((match) =>
        (match[1] ?? match[2] ?? "").replaceAll(String.raw`\n`, "\n").replaceAll(/\\(.)/g, "$1"),
      ),
    ]);
  return texts.length === 0 ? [] : [...texts, ...CHAT_ROLES];
}
