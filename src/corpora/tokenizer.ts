/**
 * @file Text ↔ token ids, with `@huggingface/tokenizers` and a checkpoint's tokenizer files. A tokenizer is exact, that
 * is, it yields the ids of the Rust tokenizers (of llama.cpp for a GGUF file), or it is refused.
 */

import { Tokenizer as UntypedTokenizer } from "@huggingface/tokenizers";
import type { TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { CusprunError } from "../errors.ts";
import { isJsonObject, showValue, type JsonObject } from "../json.ts";
import { withinTime } from "../time-limit.ts";
import { type ChatTemplate, readChatTemplate } from "./chat-template.ts";
import { invalidTokenizer, readTokenIds } from "./tokenizer-ids.ts";
import { checkModelType, inexact } from "./tokenizer-model-check.ts";
import { exactTokenizerJson } from "./tokenizer-parts.ts";
import { checkSample } from "./tokenizer-sample.ts";

/**
 * Time limits, in milliseconds of the processor: a `tokenizer.json` may hold a regular expression that backtracks for
 * ever. Real tokenizers need a tenth of the time per merge or character, or less.
 */
const BASE_LIMIT_MS = 5000;
const LIMIT_MS_PER_ENTRY = 0.05;
const LIMIT_MS_PER_CHARACTER = 0.1;

/** A text up to this length cannot take long. A limit costs as much time as the encoding of a word. */
const UNLIMITED_CHARACTERS = 16;

/**
 * The members used of the library's tokenizer. Its own declarations do not resolve under `nodenext`: they import
 * without extensions.
 */
interface HubTokenizer {
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: readonly number[] };
  decode(
    ids: readonly number[],
    options: { readonly skip_special_tokens: boolean; readonly clean_up_tokenization_spaces: boolean },
  ): string;
  readonly decoder: HubDecoder | null;
  /** Added tokens by their texts, before and after normalisation. */
  readonly added_tokens_map: ReadonlyMap<string, { readonly id: number }>;
}
/** A decoder of bytes has a `text_decoder`, a sequence has `decoders`. */
interface HubDecoder {
  text_decoder?: InstanceType<typeof TextDecoder>;
  readonly decoders?: readonly (HubDecoder | null)[];
}
const HubTokenizer = UntypedTokenizer as unknown as new (tokenizerJson: object, tokenizerConfig: object) => HubTokenizer;

/** Converts text to token ids and back. */
export interface Tokenizer {
  /** One more than the highest token id. The model's embedding may have more rows, or fewer. */
  readonly vocabSize: number;
  /** Ids that `encode` prepends: BOS if the tokenizer adds one, else none. */
  readonly prefix: Int32Array;
  /** The model's chat template; absent or null if it has none. */
  readonly chatTemplate?: ChatTemplate | null;
  /**
   * Token ids of a text, all of them rows of the embedding. Special tokens in it are recognised; BOS or EOS are added
   * if the tokenizer's files say so.
   * @param source where the text is from, for messages.
   * @param isRendered the text is a chat with its own special tokens: none is added, except a missing prefix.
   * @throws CusprunError `TOKEN_WITHOUT_ROW` for a token past the end of the embedding.
   */
  encode(text: string, source?: string, isRendered?: boolean): Int32Array;
  /** Text of token ids, including special tokens. Invalid UTF-8 becomes U+FFFD. */
  decode(ids: Int32Array): string;
}

/**
 * Creates a tokenizer from a checkpoint's files.
 * @param where the file or folder that they come from, for error messages.
 * @param rows rows of the embedding; by default every token has one.
 * @throws CusprunError `TOKENIZER_INVALID` if a part of `tokenizer.json` is missing or malformed, or if the embedding
 * has no row for the tokens that are put around every text; `TOKENIZER_UNSUPPORTED` if the library would yield other
 * ids than the Rust tokenizers. `encode` throws `TOKENIZER_INVALID` for a text that takes longer than any real
 * tokenizer.
 */
export function createTokenizer(files: TokenizerFiles, where: string, rows: number = Number.POSITIVE_INFINITY): Tokenizer {
  const { encode, decode, vocabSize } = openHubTokenizer(files, where);
  const bare = encode("a", false);
  const framed = encode("a", true);
  const prefixLength = Math.max(
    0,
    framed.findIndex((_, start) => bare.every((id, index) => framed[start + index] === id)),
  );
  const showToken = (id: number): string => `token ${id} ${showValue(decode(Int32Array.of(id)))}`;
  const outside = framed.find((id) => id >= rows);
  if (outside !== undefined && !bare.includes(outside)) {
    const expected = `ids below ${rows}, the rows of the embedding`;
    throw invalidTokenizer(where, "post_processor", `${showToken(outside)} around every text`, expected);
  }
  const prefix = framed.slice(0, prefixLength);
  const encodeRendered = (text: string): Int32Array => {
    const ids = encode(text, false);
    return prefix.every((id, index) => id === ids[index]) ? ids : Int32Array.of(...prefix, ...ids);
  };
  return {
    vocabSize,
    prefix,
    chatTemplate: readChatTemplate(files.tokenizerConfig, where),
    encode: (text, source = "a text", isRendered = false) => {
      const ids = isRendered ? encodeRendered(text) : encode(text, true);
      const unusable = ids.find((id) => id >= rows);
      if (unusable === undefined) return ids;
      throw new CusprunError("TOKEN_WITHOUT_ROW", {
        where: source,
        found: showToken(unusable),
        expected: `tokens below ${rows}, the rows of the model's embedding`,
        remedy:
          "Remove the token from the text, or give it a row: in transformers, model.resize_token_embeddings(len(tokenizer))",
      });
    },
    decode,
  };
}

/** The library's tokenizer, checked. */
interface CheckedTokenizer {
  readonly vocabSize: number;
  readonly encode: (text: string, addSpecialTokens: boolean) => Int32Array;
  readonly decode: (ids: Int32Array) => string;
}

/**
 * Checks a tokenizer's files, constructs the library's tokenizer and tries it on a sample of hard texts. Whatever the
 * library throws is an error of the file.
 */
function openHubTokenizer({ tokenizerJson, madeFrom }: TokenizerFiles, where: string): CheckedTokenizer {
  checkModelType(tokenizerJson, where);
  const ids = readTokenIds(tokenizerJson, where);
  const exact = exactTokenizerJson(tokenizerJson, ids, madeFrom !== "gguf", where);
  // The library's config is left out: the Rust tokenizers do not read it.
  const hub = guarded(where, () =>
    withinTime(() => new HubTokenizer(exact, {}), BASE_LIMIT_MS + entriesOf(tokenizerJson) * LIMIT_MS_PER_ENTRY),
  );
  keepByteOrderMarks(hub.decoder);
  // The library gives a token whose text is an added token's normalised text that token's id.
  for (const [text, { id }] of hub.added_tokens_map) {
    if ((ids.get(text) ?? id) !== id)
      throw inexact(where, `the added token ${id}`, text, "a normalised text that is no other token's");
  }
  const encodeRaw = (text: string, addSpecialTokens: boolean): readonly unknown[] =>
    guarded(where, () => {
      const run = (): readonly unknown[] => hub.encode(wellFormed(text), { add_special_tokens: addSpecialTokens }).ids;
      const limitMs = BASE_LIMIT_MS + text.length * LIMIT_MS_PER_CHARACTER;
      return text.length <= UNLIMITED_CHARACTERS ? run() : withinTime(run, limitMs);
    });
  const decodeRaw = (list: readonly number[]): string =>
    list.length === 0
      ? ""
      : guarded(where, () => hub.decode(list, { skip_special_tokens: false, clean_up_tokenization_spaces: false }));
  checkSample({ encodeRaw: (text) => encodeRaw(text, false), decode: decodeRaw }, tokenizerJson, ids, where);
  let vocabSize = 0;
  for (const id of ids.values()) vocabSize = Math.max(vocabSize, id + 1);
  return {
    vocabSize,
    encode: (text, addSpecialTokens) => Int32Array.from(encodeRaw(text, addSpecialTokens) as readonly number[]),
    decode: (list) => decodeRaw(Array.from(list)),
  };
}

function guarded<T>(where: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const found = `an unusable tokenizer (${cause instanceof Error ? cause.message : String(cause)})`;
    throw invalidTokenizer(where, "", found, "a complete tokenizer.json of the Hugging Face tokenizers library", cause);
  }
}

/** The decoders of byte tokens drop U+FEFF at the start of each run of bytes, which the Rust tokenizers keep. */
function keepByteOrderMarks(decoder: HubDecoder | null): void {
  if (decoder?.text_decoder !== undefined) decoder.text_decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  decoder?.decoders?.forEach(keepByteOrderMarks);
}

/** Number of merges and of words in a list, which the time of construction grows with. */
function entriesOf(tokenizerJson: JsonObject): number {
  const model = tokenizerJson["model"];
  const lists = isJsonObject(model) ? [model["merges"], model["vocab"]] : [];
  return lists.reduce<number>((sum, list) => sum + (Array.isArray(list) ? list.length : 0), 0);
}

/** Replaces unpaired surrogates by U+FFFD, as any conversion to UTF-8 does. */
export function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? Buffer.from(text, "utf8").toString("utf8") : text;
}
