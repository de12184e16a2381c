/**
 * @file The values of a GGUF header: their type ids, sizes and JavaScript forms.
 * Source: the GGUF specification, `docs/gguf.md` of ggml-org/ggml, `enum gguf_metadata_value_type`.
 */

/** An array in a GGUF header. Arrays of numbers are typed arrays of the stored type. */
export type GgufArray =
  | readonly string[]
  | readonly boolean[]
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** A value in a GGUF header. A 64-bit integer is a number if that is exact, and a bigint beyond ±(2^53 − 1). */
export type GgufValue = string | number | bigint | boolean | GgufArray;

/** The key-value pairs of a GGUF header, in the order of the file. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** Names of the value types, by type id. */
export const GGUF_VALUE_TYPES = [
  "uint8",
  "int8",
  "uint16",
  "int16",
  "uint32",
  "int32",
  "float32",
  "bool",
  "string",
  "array",
  "uint64",
  "int64",
  "float64",
] as const;

/** The name of a value type. */
export type GgufValueType = (typeof GGUF_VALUE_TYPES)[number];

/** Value types that are numbers. */
export type GgufNumberType = Exclude<GgufValueType, "bool" | "string" | "array">;

/** How a number type is stored: size in bytes, reader of one value, typed array of many. */
interface NumberFormat {
  readonly bytes: number;
  readonly read: (view: DataView, offsetBytes: number) => number | bigint;
  readonly toArray: (buffer: ArrayBuffer) => Extract<GgufArray, ArrayBufferView>;
}

/** How each number type is stored, little-endian. */
export const GGUF_NUMBER_FORMATS: Readonly<Record<GgufNumberType, NumberFormat>> = {
  uint8: { bytes: 1, read: (view, at) => view.getUint8(at), toArray: (buffer) => new Uint8Array(buffer) },
  int8: { bytes: 1, read: (view, at) => view.getInt8(at), toArray: (buffer) => new Int8Array(buffer) },
  uint16: { bytes: 2, read: (view, at) => view.getUint16(at, true), toArray: (buffer) => new Uint16Array(buffer) },
  int16: { bytes: 2, read: (view, at) => view.getInt16(at, true), toArray: (buffer) => new Int16Array(buffer) },
  uint32: { bytes: 4, read: (view, at) => view.getUint32(at, true), toArray: (buffer) => new Uint32Array(buffer) },
  int32: { bytes: 4, read: (view, at) => view.getInt32(at, true), toArray: (buffer) => new Int32Array(buffer) },
  float32: { bytes: 4, read: (view, at) => view.getFloat32(at, true), toArray: (buffer) => new Float32Array(buffer) },
  uint64: {
    bytes: 8,
    read: (view, at) => toExactNumber(view.getBigUint64(at, true)),
    toArray: (buffer) => new BigUint64Array(buffer),
  },
  int64: {
    bytes: 8,
    read: (view, at) => toExactNumber(view.getBigInt64(at, true)),
    toArray: (buffer) => new BigInt64Array(buffer),
  },
  float64: { bytes: 8, read: (view, at) => view.getFloat64(at, true), toArray: (buffer) => new Float64Array(buffer) },
};

/** A 64-bit integer as a number if that is exact, otherwise as a bigint. */
export function toExactNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
