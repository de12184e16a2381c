/**
 * @file Hugging Face tokenizer files → the `tokenizer.*` keys of a GGUF header: the inverse of
 * `src/checkpoint/gguf/tokenizer.ts`. A tokenizer that llama.cpp would apply differently is refused.
 * Source: `_set_vocab_gpt2` and `_set_vocab_sentencepiece` of llama.cpp's `convert_hf_to_gguf.py`, `SpecialVocab` of
 * its gguf-py.
 */

import type { TokenizerFiles } from "../../checkpoint/checkpoint.ts";
import { isJsonObject } from "../../json.ts";
import type { ModelConfig } from "../../checkpoint/config/model-config.ts";
import { readBpe, type BpeModel, unsupportedTokenizer } from "../../corpora/bpe.ts";
import { chatTemplateOf } from "../../corpora/chat-template.ts";
import { createTokenizer } from "../../corpora/tokenizer.ts";
import { ggufPreName } from "./pre-names.ts";
import { ggufVocabulary, type GgufVocabulary } from "./vocabulary-tokens.ts";
import type { GgufPair, GgufTypedValue } from "./writer.ts";

/** The character for a space in the tokens of SentencePiece vocabularies. */
const SPACE_MARK = "▁";

/**
 * Builds the keys. Pure.
 * @param where the model's folder, for error messages.
 * @throws CusprunError `TOKENIZER_INVALID` for damaged files, `TOKENIZER_UNSUPPORTED` for a tokenizer without an
 * equivalent in llama.cpp.
 */
export function tokenizerPairs(files: TokenizerFiles, config: ModelConfig, where: string): GgufPair[] {
  const bpe = readBpe(files, config.vocabSize, where);
  const vocabulary = ggufVocabulary(bpe, config.vocabSize);
  const ids = specialIds(files, bpe, vocabulary, config);
  const template = chatTemplateOf(files.tokenizerConfig["chat_template"]);
  const keys: [string, GgufTypedValue][] = [
    ...(bpe.isByteLevel ? byteLevelKeys(files, bpe, where) : sentencePieceKeys(files, bpe, vocabulary, where)),
    ["ggml.tokens", ["array", "string", vocabulary.tokens]],
    ["ggml.token_type", ["array", "int32", vocabulary.types]],
    ...Object.entries(ids).flatMap(([name, id]): [string, GgufTypedValue][] =>
      id === null ? [] : [[`ggml.${name}_token_id`, ["uint32", id]]],
    ),
    ...framing(files, ids, config.vocabSize, where),
    ...(template === null ? [] : [["chat_template", ["string", template]] as [string, GgufTypedValue]]),
  ];
  return keys.map(([key, value]) => [`tokenizer.${key}`, value]);
}

function byteLevelKeys(
  { tokenizerJson }: TokenizerFiles,
  { merges, ignoresMerges }: BpeModel,
  where: string,
): [string, GgufTypedValue][] {
  const name = ggufPreName(tokenizerJson["pre_tokenizer"], ignoresMerges);
  if (name === null) {
    throw unsupportedTokenizer(where, "pre_tokenizer", tokenizerJson["pre_tokenizer"], "one that llama.cpp knows");
  }
  const normalizer = tokenizerJson["normalizer"];
  // llama.cpp does not normalise. NFC, which Qwen's tokenizer has, changes only texts that are not composed.
  const isNone = normalizer === null || normalizer === undefined;
  if (!isNone && !(isJsonObject(normalizer) && normalizer["type"] === "NFC")) {
    throw unsupportedTokenizer(where, "normalizer", normalizer, "none, or NFC");
  }
  return [
    ["ggml.model", ["string", "gpt2"]],
    ["ggml.pre", ["string", name]],
    ["ggml.merges", ["array", "string", merges.map(([left, right]) => `${left} ${right}`)]],
  ];
}

function sentencePieceKeys(
  { tokenizerJson }: TokenizerFiles,
  bpe: BpeModel,
  vocabulary: GgufVocabulary,
  where: string,
): [string, GgufTypedValue][] {
  return [
    ["ggml.model", ["string", "llama"]],
    ["ggml.pre", ["string", "default"]],
    ["ggml.scores", ["array", "float32", scoresOfMerges(bpe, vocabulary, where)]],
    ["ggml.add_space_prefix", ["bool", hasSpacePrefix(tokenizerJson["normalizer"], tokenizerJson["pre_tokenizer"], where)]],
  ];
}

/**
 * Scores that order the tokens as the merges do: llama.cpp merges the highest score first. The merges of one token must
 * be adjacent, as they are in every list that was made from scores.
 */
function scoresOfMerges({ merges }: BpeModel, { tokens, idOf }: GgufVocabulary, where: string): number[] {
  // A token that no merge produces is never merged, and needs no score if it is not two joined tokens.
  const scores = tokens.map(() => -(merges.length + 1));
  const done = new Set<string>();
  let current: string | null = null;
  for (const [rank, [left, right]] of merges.entries()) {
    const joined = left + right;
    if (joined === current) continue;
    if (done.has(joined)) {
      throw unsupportedTokenizer(
        where,
        "model.merges",
        `merges of ${JSON.stringify(joined)} that are not adjacent`,
        "an order that scores of tokens can express",
      );
    }
    done.add(joined);
    current = joined;
    const id = idOf.get(joined);
    if (id !== undefined) scores[id] = -(rank + 1);
  }
  return scores;
}

/** Whether a space is prepended to a text; refuses what llama.cpp cannot do. */
function hasSpacePrefix(normalizer: unknown, preTokenizer: unknown, where: string): boolean {
  const steps = isJsonObject(normalizer) && normalizer["type"] === "Sequence" ? normalizer["normalizers"] : [normalizer];
  const list = (Array.isArray(steps) ? steps : []).filter(isJsonObject);
  const prepends = list.some((step) => step["type"] === "Prepend" && step["prepend"] === SPACE_MARK);
  const known = list.every((step) => step["type"] === "Prepend" || isSpaceReplacement(step));
  if (!known)
    throw unsupportedTokenizer(where, "normalizer", normalizer, `spaces replaced by ${SPACE_MARK}, one leading or none`);
  if (preTokenizer === null || preTokenizer === undefined) return prepends;
  if (!isJsonObject(preTokenizer)) throw unsupportedTokenizer(where, "pre_tokenizer", preTokenizer, "an object");
  if (preTokenizer["type"] === "Metaspace" && preTokenizer["split"] !== true) return preTokenizer["prepend_scheme"] !== "never";
  // Gemma's pre-tokenizer splits at spaces, but only after the normalizer has replaced them all.
  const pattern = preTokenizer["pattern"];
  if (preTokenizer["type"] === "Split" && isJsonObject(pattern) && pattern["String"] === " ") return prepends;
  throw unsupportedTokenizer(where, "pre_tokenizer", preTokenizer, "none, or Metaspace without splitting");
}

function isSpaceReplacement(step: Readonly<Record<string, unknown>>): boolean {
  const pattern = step["pattern"];
  return step["type"] === "Replace" && isJsonObject(pattern) && pattern["String"] === " " && step["content"] === SPACE_MARK;
}

type SpecialIds = Readonly<Record<"bos" | "eos" | "unknown" | "padding", number | null>>;

/** Ids of the named tokens. BOS and EOS are the model config's if the tokenizer names none. */
function specialIds(
  { tokenizerConfig }: TokenizerFiles,
  { unknown }: BpeModel,
  { idOf }: GgufVocabulary,
  config: ModelConfig,
): SpecialIds {
  const named = (key: string): number | null => {
    const token = tokenizerConfig[key];
    const text = isJsonObject(token) ? token["content"] : token;
    return typeof text === "string" ? (idOf.get(text) ?? null) : null;
  };
  return {
    bos: named("bos_token") ?? config.bosTokenId,
    eos: named("eos_token") ?? config.eosTokenIds[0] ?? null,
    unknown: named("unk_token") ?? (unknown === null ? null : (idOf.get(unknown) ?? null)),
    padding: named("pad_token"),
  };
}

/** Whether a text is preceded by BOS and followed by EOS: as the tokenizer really does it, whatever its config says. */
function framing(files: TokenizerFiles, { bos, eos }: SpecialIds, rows: number, where: string): [string, GgufTypedValue][] {
  const tokenizer = createTokenizer(files, where, rows);
  const before = [...tokenizer.prefix];
  if (before.length > 1 || (before.length === 1 && before[0] !== bos)) {
    throw unsupportedTokenizer(where, "post_processor", before, "BOS or nothing before a text");
  }
  const last = tokenizer.encode("a").at(-1);
  return [
    ["ggml.add_bos_token", ["bool", before.length > 0]],
    ["ggml.add_eos_token", ["bool", eos !== null && last === eos]],
  ];
}
