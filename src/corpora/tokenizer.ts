/**
 * @file Text ↔ token ids, with `@huggingface/tokenizers` and a checkpoint's tokenizer files.
 */

import { Tokenizer as UntypedTokenizer } from "@huggingface/tokenizers";
import type { TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { CusprunError } from "../errors.ts";
import { isJsonObject } from "../json.ts";
import { withinTime } from "../time-limit.ts";

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
  get_vocab(): ReadonlyMap<string, number>;
}
const HubTokenizer = UntypedTokenizer as unknown as new (tokenizerJson: object, tokenizerConfig: object) => HubTokenizer;

/** Converts text to token ids and back. */
export interface Tokenizer {
  /** One more than the highest token id. The model's embedding may have more rows. */
  readonly vocabSize: number;
  /** Ids that `encode` prepends: BOS if the tokenizer adds one, else none. */
  readonly prefix: Int32Array;
  /** Token ids of a text. Special tokens in it are recognised; BOS or EOS are added if the tokenizer's files say so. */
  encode(text: string): Int32Array;
  /** Text of token ids, including special tokens. Invalid UTF-8 becomes U+FFFD. */
  decode(ids: Int32Array): string;
}

/**
 * Creates a tokenizer from a checkpoint's files.
 * @param where the file or folder that they come from, for error messages.
 * @throws CusprunError `TOKENIZER_INVALID` if a part of `tokenizer.json` is missing or malformed, or if it takes
 * longer than any real tokenizer; so do `encode` and `decode`.
 */
export function createTokenizer(files: TokenizerFiles, where: string): Tokenizer {
  const hub = openTokenizer(files, where);
  const encodeWith = (text: string, addSpecialTokens: boolean): Int32Array => {
    const run = (): readonly number[] => hub.encode(wellFormed(text), { add_special_tokens: addSpecialTokens }).ids;
    try {
      const limitMs = BASE_LIMIT_MS + text.length * LIMIT_MS_PER_CHARACTER;
      return Int32Array.from(text.length <= UNLIMITED_CHARACTERS ? run() : withinTime(run, limitMs));
    } catch (error) {
      throw invalidTokenizer(where, error);
    }
  };
  const decode = (ids: Int32Array): string => {
    if (ids.length === 0) return "";
    try {
      return hub.decode(Array.from(ids), { skip_special_tokens: false, clean_up_tokenization_spaces: false });
    } catch (error) {
      throw invalidTokenizer(where, error);
    }
  };
  try {
    const bare = encodeWith("a", false);
    const framed = encodeWith("a", true);
    const prefixLength = Math.max(
      0,
      framed.findIndex((_, start) => bare.every((id, index) => framed[start + index] === id)),
    );
    return {
      vocabSize: ([...hub.get_vocab().values()].at(-1) ?? -1) + 1,
      prefix: framed.slice(0, prefixLength),
      encode: (text) => encodeWith(text, true),
      decode,
    };
  } catch (error) {
    throw invalidTokenizer(where, error);
  }
}

function openTokenizer(files: TokenizerFiles, where: string): HubTokenizer {
  try {
    const limitMs = BASE_LIMIT_MS + entriesOf(files) * LIMIT_MS_PER_ENTRY;
    return withinTime(() => new HubTokenizer(files.tokenizerJson, files.tokenizerConfig), limitMs);
  } catch (error) {
    throw invalidTokenizer(where, error);
  }
}

/** Number of merges and of words in a list, which the time of construction grows with. */
function entriesOf({ tokenizerJson }: TokenizerFiles): number {
  const model = tokenizerJson["model"];
  const lists = isJsonObject(model) ? [model["merges"], model["vocab"]] : [];
  return lists.reduce<number>((sum, list) => sum + (Array.isArray(list) ? list.length : 0), 0);
}

/** Replaces unpaired surrogates by U+FFFD, as any conversion to UTF-8 does. */
export function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? Buffer.from(text, "utf8").toString("utf8") : text;
}

function invalidTokenizer(where: string, cause: unknown): CusprunError {
  if (cause instanceof CusprunError) return cause;
  return new CusprunError(
    "TOKENIZER_INVALID",
    {
      where: `${where}: tokenizer.json`,
      found: `an unusable tokenizer (${cause instanceof Error ? cause.message : String(cause)})`,
      expected: "a complete tokenizer.json of the Hugging Face tokenizers library",
      remedy: "Download the model again, or save its fast tokenizer again with transformers (save_pretrained)",
    },
    { cause },
  );
}
