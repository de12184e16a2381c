/**
 * @file Identifies the scores of a model on documents by a hash, so that a finished step is found again and never
 * mistaken for another.
 */

import { createHash } from "node:crypto";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { identifyModel } from "../checkpoint/identity.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { JobOptions } from "../progress.ts";
import type { VocabularyFacts } from "./token-relevance.ts";

/**
 * SHA-256 (hex) of everything that a checkpoint computes with: its config and every byte of its weights.
 * @throws CusprunError the errors of `identifyModel`.
 */
export async function checkpointFingerprint(checkpoint: Checkpoint, job: JobOptions = {}): Promise<string> {
  const { weights } = await identifyModel(checkpoint, job);
  return createHash("sha256")
    .update(JSON.stringify([checkpoint.config, weights]))
    .digest("hex");
}

/** SHA-256 (hex) of a document's token ids. */
export function documentFingerprint(document: TokenDocument): string {
  const { buffer, byteOffset, byteLength } = document.tokens;
  return createHash("sha256")
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest("hex");
}

/** The documents without duplicates, by tokens, in their order. */
export function uniqueDocuments(documents: readonly TokenDocument[]): TokenDocument[] {
  return [...new Map(documents.map((document) => [documentFingerprint(document), document])).values()];
}

/** SHA-256 (hex) of the data that tokens are scored from, in addition to the model and the documents. */
export function vocabularyFingerprint({ counts, derivations, alwaysKept }: VocabularyFacts): string {
  const hash = createHash("sha256").update(JSON.stringify([...alwaysKept].toSorted((a, b) => a - b)));
  hash.update(JSON.stringify([...derivations].toSorted(([a], [b]) => a - b)));
  for (const [dimension, { halves, words }] of counts) {
    hash.update(dimension);
    for (const { buffer, byteOffset, byteLength } of [...halves, ...(words === null ? [] : [words])])
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex");
}
