/**
 * @file A BPE vocabulary in GGUF's form: one text and one type for every row of the embedding.
 */

import { TOKEN_TYPES } from "../../checkpoint/gguf/vocabulary.ts";
import { BYTE_TOKEN, type BpeModel } from "../../corpora/bpe.ts";

/** Types of `tokenizer.ggml.token_type` that only the writer needs. */
const UNUSED_TYPE = 5;
const BYTE_TYPE = 6;

/** The rows of the embedding, in the order of ids. */
export interface GgufVocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly idOf: ReadonlyMap<string, number>;
}

/**
 * Lists a vocabulary.
 * @param vocabSize rows of the embedding. Ids without a token become unused tokens, because llama.cpp needs as many
 * tokens as rows.
 */
export function ggufVocabulary({ vocab, added, unknown, isByteLevel }: BpeModel, vocabSize: number): GgufVocabulary {
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const types: number[] = tokens.map(() => UNUSED_TYPE);
  const idOf = new Map<string, number>();
  const put = (text: string, id: number, type: number): void => {
    tokens[id] = text;
    types[id] = type;
    idOf.set(text, id);
  };
  for (const [text, id] of vocab) put(text, id, typeOfPlain(text, text === unknown, isByteLevel));
  for (const { text, id, isSpecial } of added) {
    const isUnknown = !isByteLevel && text === unknown;
    const type = isUnknown ? TOKEN_TYPES.unknown : isSpecial ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined;
    // Matched in the raw text, in which a space is a space.
    put(type === TOKEN_TYPES.userDefined && !isByteLevel ? text.replaceAll("▁", " ") : text, id, type);
    idOf.set(text, id);
  }
  return { tokens, types, idOf };
}

function typeOfPlain(text: string, isUnknown: boolean, isByteLevel: boolean): number {
  if (isByteLevel) return TOKEN_TYPES.normal;
  if (isUnknown) return TOKEN_TYPES.unknown;
  return BYTE_TOKEN.test(text) ? BYTE_TYPE : TOKEN_TYPES.normal;
}
