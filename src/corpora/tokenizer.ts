/**
 * @file Text ↔ token ids, with `@huggingface/tokenizers` and a checkpoint's tokenizer files.
 */

import { Tokenizer as UntypedTokenizer } from "@huggingface/tokenizers";
import type { TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { CusprunError } from "../errors.ts";
import { type ChatTemplate, readChatTemplate } from "./chat-template.ts";

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
  /** The model's chat template; absent or null if it has none. */
  readonly chatTemplate?: ChatTemplate | null;
  /**
   * Token ids of a text. Special tokens in it are recognised; BOS or EOS are added if the tokenizer's files say so.
   * @param isRendered the text is a chat with its own special tokens: none is added, except a missing prefix.
   */
  encode(text: string, isRendered?: boolean): Int32Array;
  /** Text of token ids, including special tokens. Invalid UTF-8 becomes U+FFFD. */
  decode(ids: Int32Array): string;
}

/**
 * Creates a tokenizer from a checkpoint's files.
 * @param where the file or folder that they come from, for error messages.
 * @throws CusprunError `TOKENIZER_INVALID` if a part of `tokenizer.json` is missing or malformed.
 */
export function createTokenizer(files: TokenizerFiles, where: string): Tokenizer {
  const hub = openTokenizer(files, where);
  const encodeWith = (text: string, addSpecialTokens: boolean): Int32Array =>
    Int32Array.from(hub.encode(wellFormed(text), { add_special_tokens: addSpecialTokens }).ids);
  const decode = (ids: Int32Array): string =>
    ids.length === 0 ? "" : hub.decode(Array.from(ids), { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  try {
    const bare = encodeWith("a", false);
    const framed = encodeWith("a", true);
    const prefixLength = Math.max(
      0,
      framed.findIndex((_, start) => bare.every((id, index) => framed[start + index] === id)),
    );
    const prefix = framed.slice(0, prefixLength);
    const encodeRendered = (text: string): Int32Array => {
      const ids = encodeWith(text, false);
      return prefix.every((id, index) => id === ids[index]) ? ids : Int32Array.of(...prefix, ...ids);
    };
    return {
      vocabSize: ([...hub.get_vocab().values()].at(-1) ?? -1) + 1,
      prefix,
      chatTemplate: readChatTemplate(files.tokenizerConfig, where),
      encode: (text, isRendered = false) => (isRendered ? encodeRendered(text) : encodeWith(text, true)),
      decode,
    };
  } catch (error) {
    throw invalidTokenizer(where, error);
  }
}

function openTokenizer(files: TokenizerFiles, where: string): HubTokenizer {
  try {
    return new HubTokenizer(files.tokenizerJson, files.tokenizerConfig);
  } catch (error) {
    throw invalidTokenizer(where, error);
  }
}

/** Replaces unpaired surrogates by U+FFFD, as any conversion to UTF-8 does. */
export function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? Buffer.from(text, "utf8").toString("utf8") : text;
}

function invalidTokenizer(where: string, cause: unknown): CusprunError {
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
