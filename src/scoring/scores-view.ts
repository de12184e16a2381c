/** @file A view of scores that is limited to some of their dimensions. */

import type { Dimension } from "../corpora/corpus.ts";
import type { RelevanceScores } from "./relevance.ts";

/**
 * The scores of the documents of these dimensions. An earlier run may have scored further dimensions, whose documents a
 * method that pools all documents must not see.
 * @param corpora the wanted dimensions, a part of the scored ones, with the names that their corpora have now: the same
 *   documents may have been scored under another name.
 */
export function scoresOf(scores: RelevanceScores, corpora: Readonly<Partial<Record<Dimension, string>>>): RelevanceScores {
  const dimensions = Object.keys(corpora) as Dimension[];
  const rows = [...scores.documents.keys()].filter((index) =>
    scores.documents[index]!.dimensions.some((dimension) => dimensions.includes(dimension)),
  );
  const isWhole = rows.length === scores.documents.length;
  const take = (values: Float32Array): Float32Array => {
    if (isWhole) return values;
    const width = values.length / scores.documents.length;
    const taken = new Float32Array(rows.length * width);
    for (const [at, row] of rows.entries()) taken.set(values.subarray(row * width, (row + 1) * width), at * width);
    return taken;
  };
  return {
    model: scores.model,
    config: scores.config,
    corpora,
    kinds: scores.kinds,
    fingerprint: isWhole ? scores.fingerprint : `${scores.fingerprint} of ${dimensions.join()}`,
    documents: rows.map((row) => {
      const document = scores.documents[row]!;
      return { ...document, dimensions: document.dimensions.filter((dimension) => dimensions.includes(dimension)) };
    }),
    read: async (layer, kind) => take(await scores.read(layer, kind)),
    readReference: async (layer, kind) => take(await scores.readReference(layer, kind)),
    readVocabulary: () => scores.readVocabulary(),
    close: () => scores.close(),
  };
}
