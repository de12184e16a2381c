/**
 * @file The documents of a repair: those that matrices are fitted on, and those held back to choose the ridge's
 * strength.
 */

import type { TokenDocument } from "../corpora/corpus.ts";

/** One document in this many is held back; the others are fitted on. */
const HELD_BACK_EVERY = 5;

/** Documents, and whether each is held back from fitting. */
export interface RepairDocuments {
  readonly documents: readonly TokenDocument[];
  readonly heldBack: readonly boolean[];
}

/** Holds every fifth document back, or the last one if there are no more than five. */
export function holdBack(documents: readonly TokenDocument[]): RepairDocuments {
  const { length } = documents;
  const heldBack = documents.map(
    (_, index) => index % HELD_BACK_EVERY === HELD_BACK_EVERY - 1 || (length <= HELD_BACK_EVERY && index === length - 1),
  );
  return { documents, heldBack };
}

/** The same documents in another order. @param place of a document in that order. */
export function reorder({ documents, heldBack }: RepairDocuments, place: (document: TokenDocument) => number): RepairDocuments {
  const order = documents
    .map((document, index) => ({ index, at: place(document) }))
    .toSorted((left, right) => left.at - right.at)
    .map(({ index }) => index);
  return { documents: order.map((index) => documents[index]!), heldBack: order.map((index) => heldBack[index]!) };
}
