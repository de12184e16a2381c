/** @file A view of scores that is limited to some of their dimensions. */

import type { Dimension } from "../corpora/corpus.ts";
import type { RelevanceScores } from "./relevance.ts";

/**
 * The scores of the documents of these dimensions. An earlier run may have scored further dimensions, whose documents a
 * method that pools all documents must not see.
 * @param dimensions a part of the scored ones.
 * @returns the scores themselves if every document belongs to one of the dimensions.
 */
export function scoresOf(scores: RelevanceScores, dimensions: readonly Dimension[]): RelevanceScores {
  const rows = [...scores.documents.keys()].filter((index) =>
    scores.documents[index]!.dimensions.some((dimension) => dimensions.includes(dimension)),
  );
  if (rows.length === scores.documents.length) return scores;
  const take = (values: Float32Array): Float32Array => {
    const width = values.length / scores.documents.length;
    const taken = new Float32Array(rows.length * width);
    for (const [at, row] of rows.entries()) taken.set(values.subarray(row * width, (row + 1) * width), at * width);
    return taken;
  };
  return {
    config: scores.config,
    corpora: Object.fromEntries(Object.entries(scores.corpora).filter(([name]) => dimensions.includes(name as Dimension))),
    kinds: scores.kinds,
    fingerprint: `${scores.fingerprint} of ${dimensions.join()}`,
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
