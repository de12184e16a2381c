/**
 * @file Bytes as a source of tensors gives them: in pieces.
 */

/** Bytes in two pieces, which do not end where elements do. */
export async function* inPieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  const middle = Math.floor(bytes.length / 3);
  yield bytes.subarray(0, middle);
  yield bytes.subarray(middle);
}
