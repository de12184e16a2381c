/**
 * @file The packaged general mix of many languages, domains and tasks, which helps an expert preserve abilities outside
 * its corpora.
 */

import { type JobOptions } from "../progress.ts";
import { readCandidates } from "./candidates.ts";
import type { TokenDocument } from "./corpus.ts";
import { GENERAL_PRESET_PATH } from "./presets.ts";
import { toTokenDocument } from "./token-document.ts";
import { type Tokenizer } from "./tokenizer.ts";

/** Characters read per requested token, as for corpora. */
const CHARACTERS_PER_TOKEN = 64;
/** Candidates read per requested document: some are too short. */
const CANDIDATES_PER_DOCUMENT = 2;

/**
 * Loads documents of the general mix, in the order given by the seed.
 * @param count maximum number of documents; the preset may have fewer.
 * @param maxTokens longer documents are truncated to this many tokens.
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
    chatTemplate: null,
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
