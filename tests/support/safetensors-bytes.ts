/**
 * @file Hand-made safetensors files, valid or invalid, independent of the writer under test.
 */

/** Bytes of a file: length and text of the given header, then `dataByteLength` bytes of data. */
export function safetensorsBytes(header: unknown, dataByteLength: number): Uint8Array {
  return withHeaderText(typeof header === "string" ? header : JSON.stringify(header), dataByteLength);
}

function withHeaderText(text: string, dataByteLength: number): Uint8Array {
  const json = Buffer.from(text);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataByteLength)]);
}

/** A tensor's entry in a header. */
export function entry(dtype: string, shape: readonly unknown[], start: number, end: number): Readonly<Record<string, unknown>> {
  return { dtype, shape, data_offsets: [start, end] };
}
