/**
 * @file A text → a document of tokens, truncated to a maximum length, with the UTF-8 length of the text that they
 * encode.
 */

import type { TextDocument, TokenDocument } from "./corpus.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Minimum number of tokens in a document, including BOS. Shorter documents say little about a unit: the unusual
 * activations of the first tokens dominate them.
 */
export const MIN_DOCUMENT_TOKENS = 16;

/**
 * How many tokens a cut may be moved back: a character has up to four byte tokens, so up to three may be an incomplete
 * one.
 */
const MAX_CUT_BACK = 3;

/**
 * Tokenises a document, truncated to `maxTokens`, or up to three fewer so that the cut falls between two characters.
 * @throws CusprunError `TOKEN_WITHOUT_ROW`.
 * @returns null if it has fewer than `MIN_DOCUMENT_TOKENS` tokens.
 */
export function toTokenDocument(document: TextDocument, tokenizer: Tokenizer, maxTokens: number): TokenDocument | null {
  const { source } = document;
  const tokens = tokenizer.encode(document.text, source, document.isRendered);
  if (tokens.length < MIN_DOCUMENT_TOKENS) return null;
  const text = document.isRendered === true ? withoutPrefix(document.text, tokenizer) : document.text;
  if (tokens.length <= maxTokens) return { tokens, byteLength: Buffer.byteLength(text), source };
  for (let end = maxTokens; end >= Math.max(maxTokens - MAX_CUT_BACK, MIN_DOCUMENT_TOKENS); end--) {
    const kept = tokenizer.decode(tokens.subarray(tokenizer.prefix.length, end));
    if (text.startsWith(kept)) return { tokens: tokens.slice(0, end), byteLength: Buffer.byteLength(kept), source };
  }
  // The tokenizer normalises the text (case, Unicode form), so the bytes of the decoded tokens are counted.
  const kept = tokenizer.decode(tokens.subarray(tokenizer.prefix.length, maxTokens));
  return { tokens: tokens.slice(0, maxTokens), byteLength: Buffer.byteLength(kept), source };
}

/** A rendered chat without the text of BOS, which is no text of the user's. */
function withoutPrefix(text: string, tokenizer: Tokenizer): string {
  const prefix = tokenizer.decode(tokenizer.prefix);
  return text.startsWith(prefix) ? text.slice(prefix.length) : text;
}
