/**
 * @file The parts of a tokenizer.json: those that `@huggingface/tokenizers` 0.2.0 computes exactly as the Rust
 * tokenizers do, in the form in which it does; every other part is refused. Parts by kind, found with
 * tests/reference/make_tokenizer_goldens.py.
 */

import { isJsonObject, type JsonObject, showValue } from "../json.ts";
import { invalidTokenizer, type TokenIds } from "./tokenizer-ids.ts";
import { checkModel, inexact, lostBytes, partsOf, type TokenizerRoot } from "./tokenizer-model-check.ts";
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
  readonly parts: Readonly<Record<string, (part: Part, root: TokenizerRoot) => JsonObject | null>>;
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
  const root: TokenizerRoot = { json, ids };
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

function exactPart(value: unknown, key: string, section: Section, root: TokenizerRoot, where: string): JsonObject | null {
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

/** A pre-tokenizer that only the library has, after all others. */
function withoutCharacters(preTokenizer: JsonObject | null, characters: readonly string[]): JsonObject | null {
  if (characters.length === 0) return preTokenizer;
  const drop = { type: "Replace", pattern: { Regex: `[${characters.map(escapeInClass).join("")}]` }, content: "" };
  return { type: "Sequence", pretokenizers: [preTokenizer, drop] };
}

function escapeInClass(character: string): string {
  return /[\\\]^&[-]/.test(character) ? `\\${character}` : character;
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
function exactSplit({ json }: Part, { json: root }: TokenizerRoot): JsonObject | null {
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
  return last["pattern"]["String"] === text && isOneCharacter(text) && typeof content === "string" && !content.includes(text);
}

/** The library does not split at the marks that replace spaces, and does not know the older key of the prefix. */
function exactMetaspace({ json }: Part): JsonObject | null {
  const { replacement = "▁", prepend_scheme: scheme = "always" } = json;
  if (typeof replacement !== "string" || !isOneCharacter(replacement) || /[\\\]^-]/.test(replacement)) return null;
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
function exactTemplate({ json }: Part, { ids }: TokenizerRoot): JsonObject | null {
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

function isOneCharacter(text: string): boolean {
  return /^.$/su.test(text);
}
