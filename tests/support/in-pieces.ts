/**
 * @file Bytes in pieces, as a source of tensors returns them.
 */

/** Bytes in two pieces, not split at element boundaries. */
export async function* inPieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  const middle = Math.floor(bytes.length / 3);
  yield bytes.subarray(0, middle);
  yield bytes.subarray(middle);
}
