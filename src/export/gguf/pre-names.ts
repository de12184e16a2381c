/**
 * @file The pre-tokenizer of a tokenizer.json → its name in `tokenizer.ggml.pre`: by the patterns that it splits with,
 * never by the model's name.
 * Source: the tokenizer.json files of the published models that `get_vocab_base_pre` of llama.cpp's
 * `convert_hf_to_gguf.py` lists, and the patterns that cusprun itself writes for a GGUF file.
 */

import { isJsonObject, type JsonObject } from "../../json.ts";
import { GGUF_PRETOKENIZERS } from "../../checkpoint/gguf/pretokenizers.ts";

const LETTERS_AND_REST = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|DIGITS| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const CASED_REST = "\\p{N}DIGITS| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const CASED = (ending: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${ending}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${ending}`;
const GPT2 = [...(GGUF_PRETOKENIZERS.get("gpt-2")?.patterns ?? [])];

/** Patterns as the published tokenizer.json files spell them. */
const PUBLISHED: readonly { readonly name: string; readonly patterns: readonly string[] }[] = [
  {
    name: "llama-bpe",
    patterns: [`(?i:'s|'t|'re|'ve|'m|'ll|'d)|${LETTERS_AND_REST.replace("DIGITS", "\\p{N}{1,3}")}`],
  },
  { name: "qwen2", patterns: [`(?i:'s|'t|'re|'ve|'m|'ll|'d)|${LETTERS_AND_REST.replace("DIGITS", "\\p{N}")}`] },
  { name: "tekken", patterns: [`${CASED("")}|${CASED_REST.replace("DIGITS", "")}`] },
  { name: "gpt-4o", patterns: [`${CASED("(?i:'s|'t|'re|'ve|'m|'ll|'d)?")}|${CASED_REST.replace("DIGITS", "{1,3}")}`] },
];

/** Names with the same patterns that differ in whether a word that is itself a token is used whole. */
const WITHOUT_IGNORED_MERGES: Readonly<Record<string, string>> = { "llama-bpe": "dbrx" };

/**
 * The name, or null if no pre-tokenizer of llama.cpp splits like this one.
 * @param preTokenizer `pre_tokenizer` of a tokenizer.json with a byte-level model.
 * @param ignoresMerges `model.ignore_merges`.
 */
export function ggufPreName(preTokenizer: unknown, ignoresMerges: boolean): string | null {
  const patterns = splitPatterns(preTokenizer);
  if (patterns === null) return null;
  const same = (others: readonly string[]): boolean => JSON.stringify(others) === JSON.stringify(patterns);
  const found =
    PUBLISHED.find((row) => same(row.patterns))?.name ?? [...GGUF_PRETOKENIZERS].find(([, row]) => same(row.patterns))?.[0];
  if (found === undefined) return null;
  const ignoredByRuntime = GGUF_PRETOKENIZERS.get(found)?.ignoreMerges ?? false;
  if (ignoredByRuntime === ignoresMerges) return found;
  return ignoredByRuntime ? (WITHOUT_IGNORED_MERGES[found] ?? null) : null;
}

/** The patterns in order; null if the last part is not ByteLevel, or if a part does not just split by a pattern. */
function splitPatterns(preTokenizer: unknown): string[] | null {
  if (!isJsonObject(preTokenizer)) return null;
  const parts = preTokenizer["type"] === "Sequence" ? preTokenizer["pretokenizers"] : [preTokenizer];
  if (!Array.isArray(parts)) return null;
  const patterns = parts.map((part: unknown) => (isJsonObject(part) ? patternsOfPart(part) : null));
  const last: unknown = parts.at(-1);
  const isByteLevel = isJsonObject(last) && last["type"] === "ByteLevel";
  return isByteLevel && !patterns.includes(null) ? patterns.flatMap((some) => some ?? []) : null;
}

function patternsOfPart(part: JsonObject): string[] | null {
  switch (part["type"]) {
    case "ByteLevel":
      if (part["add_prefix_space"] === true) return null;
      return part["use_regex"] === false ? [] : GPT2;
    case "Digits":
      return part["individual_digits"] === true ? ["\\p{N}"] : null;
    case "Split": {
      const { pattern } = part;
      if (part["behavior"] !== "Isolated" || part["invert"] === true || !isJsonObject(pattern)) return null;
      return typeof pattern["Regex"] === "string" ? [pattern["Regex"]] : null;
    }
    default:
      return null;
  }
}
