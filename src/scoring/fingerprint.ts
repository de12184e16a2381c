/**
 * @file Identifies the scores of a model on documents by a hash, so that a finished step is found again and never
 * mistaken for another.
 */

import { createHash } from "node:crypto";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import type { VocabularyFacts } from "./token-relevance.ts";

/**
 * SHA-256 (hex) that identifies a checkpoint without reading it whole: its config, every tensor's name, shape, dtype,
 * and the values of the first row of each matrix and of each vector. Fine-tuning changes every row, so two checkpoints
 * that agree in these are the same.
 */
export async function checkpointFingerprint(checkpoint: Checkpoint): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(checkpoint.config));
  for (const { name, shape, dtype } of checkpoint.tensors.values()) {
    hash.update(JSON.stringify([name, shape, dtype]));
    const values = await checkpoint.readFloat32(name, shape.length > 1 ? { start: 0, end: 1 } : undefined);
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest("hex");
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
export function vocabularyFingerprint({ counts, alwaysKept }: VocabularyFacts): string {
  const hash = createHash("sha256").update(JSON.stringify([...alwaysKept].toSorted((a, b) => a - b)));
  for (const [dimension, { halves, words }] of counts) {
    hash.update(dimension);
    for (const { buffer, byteOffset, byteLength } of [...halves, ...(words === null ? [] : [words])])
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex");
}
