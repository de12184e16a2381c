/**
 * @file A text → the tokens a model is run on, cut to a length, with the bytes of text that they stand for.
 */

import type { TextDocument, TokenDocument } from "./corpus.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Fewest tokens of a document, BOS included. Under it a document says little of a unit, and much of the first tokens' odd activations. */
export const MIN_DOCUMENT_TOKENS = 16;

/** Tokens that the cut of a document may be moved back by: a character is up to four byte tokens, so three may be a part of one. */
const MAX_CUT_BACK = 3;

/**
 * Tokenises a document; a longer one is cut to `maxTokens`, or up to three fewer so that the cut falls between two characters.
 * @returns null where it has fewer than `MIN_DOCUMENT_TOKENS`.
 */
export function toTokenDocument({ text, source }: TextDocument, tokenizer: Tokenizer, maxTokens: number): TokenDocument | null {
  const tokens = tokenizer.encode(text);
  if (tokens.length < MIN_DOCUMENT_TOKENS) return null;
  if (tokens.length <= maxTokens) return { tokens, byteLength: Buffer.byteLength(text), source };
  for (let end = maxTokens; end >= Math.max(maxTokens - MAX_CUT_BACK, MIN_DOCUMENT_TOKENS); end--) {
    const kept = tokenizer.decode(tokens.subarray(tokenizer.prefix.length, end));
    if (text.startsWith(kept)) return { tokens: tokens.slice(0, end), byteLength: Buffer.byteLength(kept), source };
  }
  // The tokenizer changes the text (case, Unicode form): the text of its tokens is what there is to count.
  const kept = tokenizer.decode(tokens.subarray(tokenizer.prefix.length, maxTokens));
  return { tokens: tokens.slice(0, maxTokens), byteLength: Buffer.byteLength(kept), source };
}
