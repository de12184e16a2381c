/**
 * @file GGUF header → Hugging Face tokenizer files that produce the same ids as llama.cpp does for that GGUF file.
 *
 * Source: llama.cpp, `llama_vocab::impl::load` and `::tokenize` (src/llama-vocab.cpp), for the two tokenizer models of
 * the supported families' decoders: `gpt2` (byte-level BPE) and `llama` (SentencePiece-style BPE with byte fallback).
 * Target: `tokenizer.json` as https://github.com/huggingface/tokenizers reads it.
 */

import { CusprunError } from "../../errors.ts";
import type { TokenizerFiles } from "../checkpoint.ts";
import type { GgufMetadata } from "./header.ts";
import { GGUF_PRETOKENIZERS } from "./pretokenizers.ts";
import {
  invalidTokenizer,
  isAddedType,
  optionalBoolean,
  optionalNumberArray,
  optionalString,
  readVocabulary,
  specialId,
  stringArray,
  TOKEN_TYPES,
  type Vocabulary,
} from "./vocabulary.ts";

type Json = Readonly<Record<string, unknown>>;

/** The character for a space in the tokens of SentencePiece vocabularies. */
const SPACE_MARK = "▁";

/** Defaults in which the two models differ, for keys that the file does not have. Ids as llama.cpp assumes them. */
interface ModelDefaults {
  readonly addBos: boolean;
  readonly bosId: number;
  readonly eosId: number;
}

/** The parts of tokenizer.json that depend on the kind of tokenizer. */
interface TokenizerParts {
  readonly normalizer: Json | null;
  readonly pre_tokenizer: Json | null;
  readonly decoder: Json;
  readonly model: Json;
  readonly defaults: ModelDefaults;
}

/**
 * Builds `tokenizer.json` and `tokenizer_config.json` from a GGUF header. Pure. Token for token equal to llama.cpp with
 * special tokens recognised in text, as in `tokenizers`.
 * @param where name of the GGUF file, for error messages.
 * @throws CusprunError `TOKENIZER_INVALID` if keys are missing, have a wrong type or contradict each other;
 * `TOKENIZER_UNSUPPORTED` for a tokenizer model or pre-tokenizer that cusprun does not know.
 */
export function tokenizerFilesFromGguf(metadata: GgufMetadata, where: string): TokenizerFiles {
  const vocabulary = readVocabulary(metadata, where);
  const parts = readParts(metadata, vocabulary);
  const addBos = optionalBoolean(metadata, "tokenizer.ggml.add_bos_token", where) ?? parts.defaults.addBos;
  const addEos = optionalBoolean(metadata, "tokenizer.ggml.add_eos_token", where) ?? false;
  const bosId = specialId(metadata, "bos", vocabulary) ?? parts.defaults.bosId;
  const eosId = specialId(metadata, "eos", vocabulary) ?? parts.defaults.eosId;
  const tokenizerJson = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(vocabulary),
    normalizer: parts.normalizer,
    pre_tokenizer: parts.pre_tokenizer,
    post_processor: templateProcessing(
      addBos ? tokenAt(vocabulary, bosId, "bos") : null,
      addEos ? tokenAt(vocabulary, eosId, "eos") : null,
      vocabulary,
    ),
    decoder: parts.decoder,
    model: parts.model,
  };
  const tokenizerConfig = makeConfig(metadata, vocabulary, addBos, addEos);
  const encoder = new TextEncoder();
  return {
    madeFrom: "gguf",
    tokenizerJson,
    tokenizerConfig,
    files: new Map([
      ["tokenizer.json", encoder.encode(JSON.stringify(tokenizerJson))],
      ["tokenizer_config.json", encoder.encode(`${JSON.stringify(tokenizerConfig, null, 2)}\n`)],
    ]),
  };
}

function readParts(metadata: GgufMetadata, vocabulary: Vocabulary): TokenizerParts {
  const model = optionalString(metadata, "tokenizer.ggml.model", vocabulary.where);
  switch (model) {
    case "gpt2":
      return byteLevelParts(metadata, vocabulary);
    case "llama":
      return sentencePieceParts(metadata, vocabulary);
    case null:
      throw invalidTokenizer(vocabulary.where, "tokenizer.ggml.model", "nothing", "the name of a tokenizer model");
    default:
      throw new CusprunError("TOKENIZER_UNSUPPORTED", {
        where: `${vocabulary.where}: tokenizer.ggml.model`,
        found: JSON.stringify(model),
        expected: "'gpt2' or 'llama'",
        remedy: "Use the model's safetensors folder with its tokenizer.json instead",
      });
  }
}

/** `gpt2`: words split by patterns, bytes as characters, merges from the file. */
function byteLevelParts(metadata: GgufMetadata, vocabulary: Vocabulary): TokenizerParts {
  const name = optionalString(metadata, "tokenizer.ggml.pre", vocabulary.where) ?? "default";
  const preTokenizer = GGUF_PRETOKENIZERS.get(name);
  if (preTokenizer === undefined) {
    throw new CusprunError("TOKENIZER_UNSUPPORTED", {
      where: `${vocabulary.where}: tokenizer.ggml.pre`,
      found: JSON.stringify(name),
      expected: `one of ${[...GGUF_PRETOKENIZERS.keys()].join(", ")}`,
      remedy: "Use the model's safetensors folder with its tokenizer.json instead",
    });
  }
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const splits = preTokenizer.patterns.map((pattern) => ({
    type: "Split",
    pattern: { Regex: pattern },
    behavior: "Isolated",
    invert: false,
  }));
  return {
    normalizer: null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...splits, byteLevel] },
    decoder: byteLevel,
    model: bpeModel(vocabulary, readMerges(metadata, vocabulary), { ignore_merges: preTokenizer.ignoreMerges }),
    defaults: { addBos: preTokenizer.addBos, bosId: 11, eosId: 11 },
  };
}

/**
 * `llama`: no words. Any two neighbours whose joined text is a token may merge, best score first; the rest falls back
 * to bytes.
 */
function sentencePieceParts(metadata: GgufMetadata, vocabulary: Vocabulary): TokenizerParts {
  const { where, tokens } = vocabulary;
  const scores = optionalNumberArray(metadata, "tokenizer.ggml.scores", tokens.length, where) ?? new Float32Array(tokens.length);
  const addSpacePrefix = optionalBoolean(metadata, "tokenizer.ggml.add_space_prefix", where) ?? true;
  const unknownId = specialId(metadata, "unknown", vocabulary) ?? 0;
  const markSpaces = { type: "Replace", pattern: { String: " " }, content: SPACE_MARK };
  const decoders = [
    { type: "Replace", pattern: { String: SPACE_MARK }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
  ];
  return {
    // The normalizer runs on every piece between special tokens, so each piece gets the prefix, as in llama.cpp.
    normalizer: addSpacePrefix
      ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: SPACE_MARK }, markSpaces] }
      : markSpaces,
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: addSpacePrefix ? [...decoders, { type: "Strip", content: " ", start: 1, stop: 0 }] : decoders,
    },
    model: bpeModel(vocabulary, mergesFromScores(vocabulary, scores), {
      unk_token: tokens[unknownId] ?? null,
      byte_fallback: true,
    }),
    defaults: { addBos: true, bosId: 1, eosId: 2 },
  };
}

function bpeModel(vocabulary: Vocabulary, merges: readonly (readonly [string, string])[], options: Json): Json {
  return {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    ...options,
    vocab: Object.fromEntries(vocabulary.idOf),
    merges,
  };
}

/** The file's merges, `left right`, separated by the first space after the first character. */
function readMerges(metadata: GgufMetadata, { where, idOf }: Vocabulary): (readonly [string, string])[] {
  const key = "tokenizer.ggml.merges";
  return stringArray(metadata, key, where).map((merge, rank) => {
    const space = merge.indexOf(" ", 1);
    const left = merge.slice(0, space);
    const right = merge.slice(space + 1);
    if (space === -1 || !idOf.has(left) || !idOf.has(right) || !idOf.has(left + right)) {
      throw invalidTokenizer(where, key, `merge ${rank} ${JSON.stringify(merge)}`, "two tokens whose joined text is a token");
    }
    return [left, right];
  });
}

/**
 * Merges in llama.cpp's order of preference: by the score of the resulting token, best first. Every split of a token
 * into two tokens is a merge. llama.cpp breaks ties by position; a list of merges can only break them by rank. Merging
 * from the left amounts to ranking the longest left part first.
 */
function mergesFromScores({ tokens, idOf }: Vocabulary, scores: ArrayLike<number>): (readonly [string, string])[] {
  const order = tokens.map((_, id) => id).toSorted((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const merges: (readonly [string, string])[] = [];
  for (const id of order) {
    const token = tokens[id] ?? "";
    for (let end = token.length - 1; end > 0; end--) {
      const left = token.slice(0, end);
      const right = token.slice(end);
      if (idOf.has(left) && idOf.has(right)) merges.push([left, right]);
    }
  }
  return merges;
}

/**
 * Tokens that are found in the text before all others: control, unknown and user-defined ones, matched in the raw text.
 */
function addedTokens({ tokens, types }: Vocabulary): Json[] {
  const added: Json[] = [];
  for (const [id, content] of tokens.entries()) {
    const type = types[id] ?? TOKEN_TYPES.normal;
    if (!isAddedType(type)) continue;
    added.push({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: type !== TOKEN_TYPES.userDefined,
    });
  }
  return added;
}

function templateProcessing(bos: string | null, eos: string | null, { idOf }: Vocabulary): Json | null {
  const specials = [bos, eos].filter((token) => token !== null);
  if (specials.length === 0) return null;
  const sequence = (id: "A" | "B", typeId: number): Json[] => [
    ...(bos === null ? [] : [{ SpecialToken: { id: bos, type_id: typeId } }]),
    { Sequence: { id, type_id: typeId } },
    ...(eos === null ? [] : [{ SpecialToken: { id: eos, type_id: typeId } }]),
  ];
  return {
    type: "TemplateProcessing",
    single: sequence("A", 0),
    pair: [...sequence("A", 0), ...sequence("B", 1)],
    special_tokens: Object.fromEntries(specials.map((token) => [token, { id: token, ids: [idOf.get(token)], tokens: [token] }])),
  };
}

/** `tokenizer_config.json`: the class that loads tokenizer.json unchanged, the named tokens, and the chat template. */
function makeConfig(metadata: GgufMetadata, vocabulary: Vocabulary, addBos: boolean, addEos: boolean): Json {
  const config: Record<string, unknown> = {
    tokenizer_class: "PreTrainedTokenizerFast",
    add_bos_token: addBos,
    add_eos_token: addEos,
    clean_up_tokenization_spaces: false,
  };
  const names = { bos_token: "bos", eos_token: "eos", unk_token: "unknown", pad_token: "padding" } as const;
  for (const [name, key] of Object.entries(names)) {
    const id = specialId(metadata, key, vocabulary);
    // transformers makes a named token special: naming an ordinary one would change how text is tokenised.
    if (id !== null && isAddedType(vocabulary.types[id] ?? 0)) config[name] = vocabulary.tokens[id];
  }
  const chatTemplate = optionalString(metadata, "tokenizer.chat_template", vocabulary.where);
  if (chatTemplate !== null) config["chat_template"] = chatTemplate;
  return config;
}

function tokenAt({ where, tokens }: Vocabulary, id: number, name: "bos" | "eos"): string {
  const token = tokens[id];
  if (token === undefined)
    throw invalidTokenizer(
      where,
      `tokenizer.ggml.${name}_token_id`,
      `no id, and add_${name}_token true`,
      "the id of the token to add",
    );
  return token;
}
