/**
 * @file The parts of a tokenizer.json: those that `@huggingface/tokenizers` 0.2.0 computes exactly as the Rust
 * tokenizers do, in the form in which it does; every other part is refused. Parts by kind, found with
 * tests/reference/make_tokenizer_goldens.py.
 */

import { CusprunError } from "../errors.ts";
import { isJsonObject, type JsonObject, showValue } from "../json.ts";
import { BYTE_CHARACTERS, byteToken, TEXT_BYTES } from "./byte-characters.ts";
import { invalidTokenizer, readMerges, type TokenIds } from "./tokenizer-ids.ts";
import { exactRegex } from "./tokenizer-regex.ts";

/** The pattern of `ByteLevel`, whose white space the library takes from JavaScript. */
const GPT2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/** A part of a tokenizer.json, for checks and messages. */
interface Part {
  readonly json: JsonObject;
  /** Its key, such as `pre_tokenizer.pretokenizers[1]`. */
  readonly key: string;
  readonly where: string;
}

/** How the parts of one section are brought into exact form. */
interface Section {
  /** The key of the parts of a `Sequence`. */
  readonly list: string;
  /** Checked and rewritten parts by type. Null: refused. */
  readonly parts: Readonly<Record<string, (part: Part, root: Root) => JsonObject | null>>;
}

/** What a part's exactness may depend on. */
interface Root {
  readonly json: JsonObject;
  readonly ids: TokenIds;
}

const same = ({ json }: Part): JsonObject => json;

const NORMALIZERS: Section = {
  list: "normalizers",
  parts: {
    NFC: same,
    Prepend: ({ json }) => (typeof json["prepend"] === "string" ? json : null),
    Replace: exactReplace,
  },
};

const PRE_TOKENIZERS: Section = {
  list: "pretokenizers",
  parts: {
    ByteLevel: ({ json }) => {
      // By default, both are true.
      if (json["add_prefix_space"] !== false) return null;
      const bytes = { ...json, use_regex: false };
      return json["use_regex"] === false ? json : { type: "Sequence", pretokenizers: [isolated(GPT2), bytes] };
    },
    // The library's own digits are those of ASCII.
    Digits: ({ json }) => isolated(json["individual_digits"] === true ? String.raw`\p{N}` : String.raw`\p{N}+`),
    Metaspace: exactMetaspace,
    // Every other behaviour is computed as this one.
    Punctuation: ({ json }) => (json["behavior"] === "Contiguous" ? json : null),
    Split: exactSplit,
  },
};

const DECODERS: Section = {
  list: "decoders",
  parts: {
    ByteFallback: same,
    ByteLevel: same,
    Fuse: same,
    // Without a prefix, the library still removes a space.
    Metaspace: ({ json }) => (json["prepend_scheme"] === "never" || json["add_prefix_space"] === false ? null : json),
    Replace: exactReplace,
    Strip: ({ json }) => (typeof json["content"] === "string" && json["content"].length === 1 ? json : null),
  },
};

const POST_PROCESSORS: Section = { list: "processors", parts: { ByteLevel: same, TemplateProcessing: exactTemplate } };

/**
 * Brings a tokenizer.json into the form that the library computes exactly.
 * @param ids as `readTokenIds` returns them.
 * @param isRust whether the Rust tokenizers are the reference, and not llama.cpp: they drop bytes without a token
 *   before merging, in llama.cpp such a byte separates what it stands between.
 * @param where the file or folder, for error messages.
 * @throws CusprunError `TOKENIZER_UNSUPPORTED` for a part without such a form, `TOKENIZER_INVALID` for a damaged one.
 */
export function exactTokenizerJson(json: JsonObject, ids: TokenIds, isRust: boolean, where: string): JsonObject {
  const root: Root = { json, ids };
  const section = (key: string, kinds: Section): JsonObject | null => exactPart(json[key], key, kinds, root, where);
  checkModel(root, isRust, where);
  checkAddedTokens(json, where);
  const preTokenizer = section("pre_tokenizer", PRE_TOKENIZERS);
  return {
    ...json,
    added_tokens: json["added_tokens"] ?? [],
    // With a normalizer, even an empty one, normalised tokens are found after all others, as in Rust.
    normalizer: section("normalizer", NORMALIZERS) ?? (prefixesFirst(json) ? null : { type: "Sequence", normalizers: [] }),
    pre_tokenizer: isRust ? withoutCharacters(preTokenizer, lostBytes(root)) : preTokenizer,
    decoder: section("decoder", DECODERS),
    post_processor: section("post_processor", POST_PROCESSORS),
  };
}

/** The type of a model, `BPE` or `Unigram`. @throws CusprunError `TOKENIZER_UNSUPPORTED` for every other. */
export function checkModelType(json: JsonObject, where: string): void {
  const { model } = json;
  if (!isJsonObject(model)) throw invalidTokenizer(where, "model", showValue(model), "an object");
  if (model["type"] !== "BPE" && model["type"] !== "Unigram")
    throw inexact(where, "model.type", model["type"], "BPE, or Unigram");
}

function exactPart(value: unknown, key: string, section: Section, root: Root, where: string): JsonObject | null {
  if (value === undefined || value === null) return null;
  if (!isJsonObject(value)) throw invalidTokenizer(where, key, showValue(value), "an object");
  const { type } = value;
  if (type === "Sequence") {
    const list = value[section.list];
    if (!Array.isArray(list)) throw invalidTokenizer(where, `${key}.${section.list}`, showValue(list), "a list");
    const parts = list.map((part: unknown, index) => exactPart(part, `${key}.${section.list}[${index}]`, section, root, where));
    if (parts.includes(null)) throw invalidTokenizer(where, `${key}.${section.list}`, showValue(list), "objects");
    return { ...value, [section.list]: parts };
  }
  const make = typeof type === "string" && Object.hasOwn(section.parts, type) ? section.parts[type] : undefined;
  const exact = make?.({ json: value, key, where }, root) ?? null;
  if (exact !== null) return exact;
  throw inexact(where, key, value, `one of ${Object.keys(section.parts).join(", ")}, in a form that is known to be exact`);
}

/**
 * Characters of bytes that have no token and no unknown token stands for. The Rust tokenizers drop them before they
 * merge, the library afterwards.
 */
function lostBytes({ json, ids }: Root): readonly string[] {
  const model = json["model"] as JsonObject;
  const isLossy = model["type"] === "BPE" && (model["unk_token"] ?? null) === null && holdsByteLevel(json["pre_tokenizer"]);
  return isLossy ? BYTE_CHARACTERS.filter((character, byte) => TEXT_BYTES.has(byte) && !ids.has(character)) : [];
}

/** A pre-tokenizer that only the library has, after all others. */
function withoutCharacters(preTokenizer: JsonObject | null, characters: readonly string[]): JsonObject | null {
  if (characters.length === 0) return preTokenizer;
  const drop = { type: "Replace", pattern: { Regex: `[${characters.map(escapeInClass).join("")}]` }, content: "" };
  return { type: "Sequence", pretokenizers: [preTokenizer, drop] };
}

function escapeInClass(character: string): string {
  return /[\\\]^&[-]/.test(character) ? `\\${character}` : character;
}

function checkModel(root: Root, isRust: boolean, where: string): void {
  const { json, ids } = root;
  const model = json["model"] as JsonObject;
  const refuse = (key: string, expected: string): never => {
    throw inexact(where, `model.${key}`, model[key], expected);
  };
  if (model["type"] === "Unigram") {
    if (model["byte_fallback"] === true) refuse("byte_fallback", "false in a Unigram model");
    const id = model["unk_id"];
    const isToken = typeof id === "number" && Number.isInteger(id) && id >= 0 && id < (model["vocab"] as unknown[]).length;
    if (!isToken) refuse("unk_id", "the id of a token");
    return;
  }
  if ((model["dropout"] ?? 0) !== 0) refuse("dropout", "none: merges are left out at random");
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) if ((model[key] ?? "") !== "") refuse(key, "none");
  const unknown = model["unk_token"] ?? null;
  if (unknown !== null && (typeof unknown !== "string" || !ids.has(unknown))) refuse("unk_token", "a token, or none");
  const isByteLevel = holdsByteLevel(json["pre_tokenizer"]);
  if (model["byte_fallback"] === true) {
    if (isByteLevel) refuse("byte_fallback", "false with a byte-level pre-tokenizer");
    if (isRust) checkByteTokens(model, ids, where);
  } else if (isRust && unknown === null && (!isByteLevel || (model["ignore_merges"] === true && lostBytes(root).length > 0))) {
    refuse("unk_token", "a token for unknown characters, since the vocabulary does not hold every byte");
  }
}

/** Byte tokens stand for unknown characters: in Rust before merges are applied, in the library afterwards. */
function checkByteTokens(model: JsonObject, ids: TokenIds, where: string): void {
  const byteTokens = new Set(Array.from({ length: 256 }, (_, byte) => byteToken(byte)));
  const absent = [...byteTokens].find((token) => !ids.has(token));
  if (absent !== undefined) throw inexact(where, "model.vocab", `no token ${absent}`, "a token for each of the 256 bytes");
  // A merge of a byte token makes a longer token with it at one end.
  if (![...ids.keys()].some((token) => /^<0x[0-9A-F]{2}>.|.<0x[0-9A-F]{2}>$/su.test(token))) return;
  const merge = readMerges(model["merges"], where).find((parts) => parts.some((part) => byteTokens.has(part)));
  if (merge !== undefined) throw inexact(where, "model.merges", merge, "no merges of byte tokens");
}

/** Whether a pre-tokenizer writes bytes as characters. */
export function holdsByteLevel(preTokenizer: unknown): boolean {
  return partsOf(preTokenizer, "pretokenizers").some(({ type }) => type === "ByteLevel");
}

/** The parts of a section in order, those of sequences included. `list`: the key of a sequence's parts. */
export function partsOf(value: unknown, list: string): JsonObject[] {
  if (!isJsonObject(value)) return [];
  const parts = value[list];
  return Array.isArray(parts) ? parts.flatMap((part: unknown) => partsOf(part, list)) : [value];
}

function exactReplace({ json }: Part): JsonObject | null {
  const pattern = exactPattern(json["pattern"]);
  const { content } = json;
  // `$` stands for matched text in JavaScript.
  return pattern === null || typeof content !== "string" || content.includes("$") ? null : { ...json, pattern };
}

function exactPattern(pattern: unknown): JsonObject | null {
  if (!isJsonObject(pattern)) return null;
  const { String: text, Regex: source } = pattern;
  if (typeof text === "string" && text !== "") return { String: text };
  const regex = typeof source === "string" ? exactRegex(source) : null;
  return regex === null ? null : { Regex: regex };
}

/** The library keeps matches and gaps, or with `invert` the matches alone. */
function exactSplit({ json }: Part, { json: root }: Root): JsonObject | null {
  const pattern = exactPattern(json["pattern"]);
  if (pattern === null) return null;
  const isInverted = json["invert"] === true;
  const isKnown = json["behavior"] === (isInverted ? "Removed" : "Isolated");
  return isKnown || (!isInverted && neverOccurs(pattern["String"], root["normalizer"])) ? { ...json, pattern } : null;
}

/** Whether the normalizer has replaced every occurrence of a text: such a split does nothing (Gemma). */
function neverOccurs(text: unknown, normalizer: unknown): boolean {
  if (typeof text !== "string" || !isJsonObject(normalizer)) return false;
  const steps = normalizer["normalizers"];
  const last: unknown = normalizer["type"] === "Sequence" && Array.isArray(steps) ? steps.at(-1) : normalizer;
  if (!isJsonObject(last) || last["type"] !== "Replace" || !isJsonObject(last["pattern"])) return false;
  const { content } = last;
  return last["pattern"]["String"] === text && [...text].length === 1 && typeof content === "string" && !content.includes(text);
}

/** The library does not split at the marks that replace spaces, and does not know the older key of the prefix. */
function exactMetaspace({ json }: Part): JsonObject | null {
  const { replacement = "▁", prepend_scheme: scheme = "always" } = json;
  if (typeof replacement !== "string" || [...replacement].length !== 1 || /[\\\]^-]/.test(replacement)) return null;
  if (json["add_prefix_space"] !== undefined && json["add_prefix_space"] !== (scheme !== "never")) return null;
  if (scheme !== "always" && scheme !== "first" && scheme !== "never") return null;
  const mark = { type: "Metaspace", replacement, prepend_scheme: scheme, split: false };
  if (json["split"] === false) return mark;
  return { type: "Sequence", pretokenizers: [mark, isolated(`${replacement}[^${replacement}]*|[^${replacement}]+`)] };
}

function isolated(regex: string): JsonObject {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
}

/** The library puts the token of a name in the template, whatever ids the name stands for. */
function exactTemplate({ json }: Part, { ids }: Root): JsonObject | null {
  const { single, special_tokens: tokens } = json;
  if (!Array.isArray(single) || !isJsonObject(tokens)) return null;
  const isExact = single.every((piece: unknown) => {
    if (!isJsonObject(piece)) return false;
    const { SpecialToken: special, Sequence: sequence } = piece;
    if (isJsonObject(sequence)) return sequence["id"] === "A";
    const name = isJsonObject(special) ? special["id"] : undefined;
    const token = typeof name === "string" ? tokens[name] : undefined;
    const own = isJsonObject(token) ? token["ids"] : undefined;
    return Array.isArray(own) && own.length === 1 && own[0] === ids.get(name as string);
  });
  return isExact ? json : null;
}

/** Whether a space mark is put before the first piece of a text alone. */
function prefixesFirst({ pre_tokenizer: preTokenizer }: JsonObject): boolean {
  return partsOf(preTokenizer, "pretokenizers").some(({ prepend_scheme: scheme }) => scheme === "first");
}

function checkAddedTokens(json: JsonObject, where: string): void {
  const list = (json["added_tokens"] ?? []) as readonly JsonObject[];
  const isNormalized = ({ normalized, special }: JsonObject): boolean => (normalized ?? special !== true) === true;
  const strips = ({ lstrip, rstrip }: JsonObject): boolean => lstrip === true || rstrip === true;
  const isSpaced = ({ content }: JsonObject): boolean => /^\s|\s$/.test(content as string);
  for (const [index, token] of list.entries()) {
    const key = `added_tokens[${index}]`;
    if (token["single_word"] === true) throw inexact(where, `${key}.single_word`, true, "false");
    // A token of white space next to the other would itself be stripped.
    if (strips(token) && list.some(isSpaced)) throw inexact(where, key, token, "neither lstrip nor rstrip");
    // After such a token, the library takes the next piece for the first one.
    const isAlone = (json["normalizer"] ?? null) === null && list.every(isNormalized);
    if (isNormalized(token) && prefixesFirst(json) && !isAlone) throw inexact(where, `${key}.normalized`, true, "false");
  }
}

/** The error for a part that is only nearly implemented. */
export function inexact(where: string, key: string, found: unknown, expected: string): CusprunError {
  return new CusprunError("TOKENIZER_UNSUPPORTED", {
    where: `${where}: tokenizer.json: ${key}`,
    found: showValue(found),
    expected: `${expected}, since cusprun would tokenise differently from transformers`,
    remedy: "Use a GGUF file of the model, which describes its tokenizer in another way, or choose another model",
  });
}
