/**
 * @file safetensors files made by hand, right or wrong, independent of the writer under test.
 */

/** Bytes of a file: the length and text of a header as they are given, then `dataByteLength` bytes of data. */
export function safetensorsBytes(header: unknown, dataByteLength: number): Uint8Array {
  return withHeaderText(typeof header === "string" ? header : JSON.stringify(header), dataByteLength);
}

function withHeaderText(text: string, dataByteLength: number): Uint8Array {
  const json = Buffer.from(text);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataByteLength)]);
}

/** A header's entry of a tensor. */
export function entry(dtype: string, shape: readonly unknown[], start: number, end: number): Readonly<Record<string, unknown>> {
  return { dtype, shape, data_offsets: [start, end] };
}
