/**
 * @file The general mix that is shipped: many languages, domains and tasks, for what an expert is to keep beside its own place.
 */

import { type JobOptions } from "../progress.ts";
import { readCandidates } from "./candidates.ts";
import type { TokenDocument } from "./corpus.ts";
import { GENERAL_PRESET_PATH } from "./presets.ts";
import { toTokenDocument } from "./token-document.ts";
import { type Tokenizer } from "./tokenizer.ts";

/** Characters read for every token wanted, as for corpora. */
const CHARACTERS_PER_TOKEN = 64;
/** Candidates for every document wanted: some are too short. */
const CANDIDATES_PER_DOCUMENT = 2;

/**
 * Documents of the general mix, in the order of the seed.
 * @param count documents at most; the preset may have fewer.
 * @param maxTokens longer documents are cut to this many tokens.
 */
export async function loadGeneralDocuments(
  tokenizer: Tokenizer,
  count: number,
  maxTokens: number,
  seed: number,
  options: JobOptions,
): Promise<readonly TokenDocument[]> {
  if (count === 0) return [];
  const candidates = await readCandidates("language", GENERAL_PRESET_PATH, {
    ...options,
    seed,
    limit: count * CANDIDATES_PER_DOCUMENT,
    maxCharacters: maxTokens * CHARACTERS_PER_TOKEN,
  });
  const documents: TokenDocument[] = [];
  for (const candidate of candidates) {
    const document = toTokenDocument(candidate, tokenizer, maxTokens);
    if (document !== null) documents.push(document);
    if (documents.length === count) break;
  }
  return documents;
}
