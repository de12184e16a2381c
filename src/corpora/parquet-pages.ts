/**
 * @file The pages of a string column chunk in a Parquet file → strings. Every size and count is checked before the
 * library decodes with it, and every call of the library has a time limit: lengths in a damaged file can make it
 * allocate gigabytes or loop for ever.
 *
 * Format: https://parquet.apache.org/docs/file-format/data-pages/
 */

import * as zlib from "node:zlib";
import { type AsyncBuffer, snappyUncompress } from "hyparquet";
import { parquetHeader } from "hyparquet/src/column.js";
import { deltaBinaryUnpack, deltaByteArray, deltaLengthByteArray } from "hyparquet/src/delta.js";
import { readRleBitPackedHybrid } from "hyparquet/src/encoding.js";
import { readPlain } from "hyparquet/src/plain.js";
import { readVarInt } from "hyparquet/src/thrift.js";
import { withinTime } from "../time-limit.ts";

/** Largest page, in bytes; also the longest text of one page. Writers target 1 MiB; a header may claim 2 GiB. */
const MAX_PAGE_BYTES: number = 256 * 2 ** 20;

/** Bytes read for a page's header, which holds the smallest and largest value of the page: first few, then more. */
const HEADER_BYTES = [64 * 2 ** 10, 16 * 2 ** 20] as const;

/** Widest index into a dictionary, in bits. */
const MAX_INDEX_BITS = 32;

/** A bit-packed run consists of groups of eight values. The format pads only the last group; some writers pad more. */
const GROUP = 8;
const MAX_PADDING = 64 * GROUP;

/** Largest block of DELTA_BINARY_PACKED. Writers use 128 or 256 values. */
const MAX_BLOCK_VALUES = 1 << 20;

/** A column chunk of a row group. */
export interface StringChunk {
  /** Offsets in the file of its first byte and after its last one. */
  readonly start: number;
  readonly end: number;
  /** Number of rows of the row group. */
  readonly rows: number;
  readonly codec: string;
  /** Whether values may be null. */
  readonly isOptional: boolean;
}

type Header = ReturnType<typeof parquetHeader>;
type Decompress = (input: Uint8Array, outputLength: number) => Uint8Array;

/** One page's data before decoding: uncompressed, with its levels separated from its values. */
interface PageData {
  readonly rows: number;
  readonly encoding: string;
  /** Definition levels, as runs without a length in front; null if no value may be null. */
  readonly levels: Uint8Array | null;
  readonly values: Uint8Array;
}

/** Node's own decompressors; zstd is available since Node 22.15. */
const zstd = (zlib as { zstdDecompressSync?: (input: Uint8Array, options: zlib.ZlibOptions) => Buffer }).zstdDecompressSync;

/** Decompressors by the names of Parquet's codecs. */
export const CODECS: Readonly<Record<string, Decompress>> = {
  UNCOMPRESSED: (input) => input,
  SNAPPY: (input, outputLength) => {
    const output = new Uint8Array(outputLength);
    snappyUncompress(input, output);
    return output;
  },
  GZIP: (input, outputLength) => zlib.gunzipSync(input, { maxOutputLength: outputLength }),
  BROTLI: (input, outputLength) => zlib.brotliDecompressSync(input, { maxOutputLength: outputLength }),
  ...(zstd === undefined ? {} : { ZSTD: (input, outputLength) => zstd(input, { maxOutputLength: outputLength }) }),
};

/** Thrown for a value that is not UTF-8; distinguishes invalid text from a damaged file. */
export class NotUtf8Error extends Error {}

/**
 * Reads the values of a chunk, page by page.
 * @throws Error if the chunk is damaged; `NotUtf8Error`; `TimeLimitError`.
 */
export async function* readStringPages(file: AsyncBuffer, chunk: StringChunk): AsyncGenerator<readonly (string | null)[]> {
  let dictionary: readonly string[] | null = null;
  let offset = chunk.start;
  let left = chunk.rows;
  while (left > 0) {
    const { header, headerBytes } = await readHeader(file, offset, chunk.end);
    offset += headerBytes;
    const size = checkCount("the size of a page", header.compressed_page_size, Math.min(MAX_PAGE_BYTES, chunk.end - offset));
    const bytes = new Uint8Array(await file.slice(offset, offset + size));
    offset += size;
    if (header.type === "DICTIONARY_PAGE") {
      dictionary = withinTime(() => readDictionary(header, bytes, chunk));
    } else if (header.type !== "INDEX_PAGE") {
      const values = withinTime(() => readValues(openPage(header, bytes, chunk, left), dictionary));
      left -= values.length;
      yield values;
    }
  }
}

async function readHeader(file: AsyncBuffer, offset: number, end: number): Promise<{ header: Header; headerBytes: number }> {
  for (const size of HEADER_BYTES) {
    const stop = Math.min(end, offset + size);
    const view = new DataView(await file.slice(offset, stop));
    try {
      return withinTime(() => {
        const reader = { view, offset: 0 };
        return { header: parquetHeader(reader), headerBytes: reader.offset };
      });
    } catch (error) {
      // The header may be longer than what was read.
      if (stop === end || size === HEADER_BYTES.at(-1)) throw error;
    }
  }
  throw new Error("unreachable");
}

function readDictionary(header: Header, bytes: Uint8Array, { codec }: StringChunk): string[] {
  const page = decompress(bytes, header.uncompressed_page_size, codec);
  // Every value has four bytes for its length.
  const count = checkCount("the number of words in a dictionary", header.dictionary_page_header?.num_values, page.length / 4);
  return Array.from<unknown, string>(readPlain(readerOf(page), "BYTE_ARRAY", count, undefined), decodeText);
}

/** Decompresses a data page of either version, and separates its levels from its values. */
function openPage(header: Header, bytes: Uint8Array, { codec, isOptional }: StringChunk, maxRows: number): PageData {
  const { data_page_header: v1, data_page_header_v2: v2, uncompressed_page_size } = header;
  const encoding = (v2 ?? v1)?.encoding ?? "(unknown)";
  const rows = checkCount("the number of values in a page", (v2 ?? v1)?.num_values, maxRows);
  if (rows === 0) throw new Error("a page without values");
  if (v2 === undefined) {
    const page = decompress(bytes, uncompressed_page_size, codec);
    if (!isOptional) return { rows, encoding, levels: null, values: page };
    const length = checkCount("the size of the levels", readerOf(page).view.getUint32(0, true), page.length - 4);
    return { rows, encoding, levels: page.subarray(4, 4 + length), values: page.subarray(4 + length) };
  }
  const repetition = checkCount("the size of the levels", v2.repetition_levels_byte_length, bytes.length);
  const levelsEnd =
    repetition + checkCount("the size of the levels", v2.definition_levels_byte_length, bytes.length - repetition);
  const rest = bytes.subarray(levelsEnd);
  const values = v2.is_compressed === false ? rest : decompress(rest, uncompressed_page_size - levelsEnd, codec);
  return { rows, encoding, levels: isOptional ? bytes.subarray(repetition, levelsEnd) : null, values };
}

function readValues({ rows, encoding, levels, values }: PageData, dictionary: readonly string[] | null): (string | null)[] {
  const present = levels === null ? null : readRuns(levels, 1, rows);
  const count = present === null ? rows : present.reduce((sum, level) => sum + level, 0);
  const texts = readTexts(values, count, encoding, dictionary);
  let next = 0;
  return present === null ? texts : present.map((level) => (level === 1 ? texts[next++]! : null));
}

function readTexts(bytes: Uint8Array, count: number, encoding: string, dictionary: readonly string[] | null): string[] {
  const reader = readerOf(bytes);
  const output = Array.from<Uint8Array>({ length: count });
  switch (encoding) {
    case "PLAIN":
      return Array.from<unknown, string>(readPlain(reader, "BYTE_ARRAY", count, undefined), decodeText);
    case "PLAIN_DICTIONARY":
    case "RLE_DICTIONARY":
      return count === 0 ? [] : readRuns(bytes.subarray(1), bytes[0] ?? 0, count).map((index) => wordAt(dictionary, index));
    case "DELTA_LENGTH_BYTE_ARRAY":
      readLengths(readerOf(bytes), count);
      deltaLengthByteArray(reader, count, output);
      return output.map(decodeText);
    case "DELTA_BYTE_ARRAY":
      checkPrefixes(readerOf(bytes), count);
      deltaByteArray(reader, count, output);
      return output.map(decodeText);
    default:
      throw new Error(`the encoding ${encoding} of strings`);
  }
}

/**
 * Reads `count` values of the hybrid of runs and bit-packing. The library would write a longer run past the end of the
 * array until the memory is full.
 */
function readRuns(bytes: Uint8Array, bits: number, count: number): number[] {
  if (bits > MAX_INDEX_BITS) throw new Error(`indices of ${bits} bits`);
  const values = Array.from<number>({ length: count }).fill(0);
  if (bits === 0) return values;
  const reader = readerOf(bytes);
  for (let seen = 0; seen < count;) {
    const run = readVarInt(reader);
    const isPacked = (run & 1) === 1;
    const length = (run >>> 1) * (isPacked ? GROUP : 1);
    seen += checkCount("the length of a run", length, count - seen + (isPacked ? MAX_PADDING : 0));
    reader.offset += Math.ceil(((isPacked ? length : 1) * bits) / 8);
  }
  readRleBitPackedHybrid(readerOf(bytes), bits, values, bytes.length);
  return values;
}

function wordAt(dictionary: readonly string[] | null, index: number): string {
  const word = dictionary?.[index];
  if (word === undefined) throw new Error(`the word ${index} of a dictionary of ${dictionary?.length ?? 0}`);
  return word;
}

/** Every value repeats the start of the one before it; a longer start would be allocated, and copied from then on. */
function checkPrefixes(reader: ReturnType<typeof readerOf>, count: number): void {
  const prefixes = readLengths(reader, count);
  const suffixes = readLengths(reader, count);
  let length = 0;
  let total = 0;
  for (let i = 0; i < count; i++) {
    const prefix = checkCount("the length of a prefix", prefixes[i], length);
    length = prefix + checkCount("the length of a value", suffixes[i], reader.view.byteLength);
    total = checkCount("the length of the text in a page", total + length, MAX_PAGE_BYTES);
  }
}

/** Reads `count` integers in DELTA_BINARY_PACKED. With a block of negative size the library would go back for ever. */
function readLengths(reader: ReturnType<typeof readerOf>, count: number): Int32Array {
  const header = { ...reader };
  const blockSize = checkCount("the size of a block", readVarInt(header), MAX_BLOCK_VALUES);
  checkCount("the number of parts of a block", readVarInt(header), blockSize);
  const lengths = new Int32Array(count);
  deltaBinaryUnpack(reader, count, lengths);
  return lengths;
}

/** Bytes → text; hyparquet's own decoder would replace invalid UTF-8. */
function decodeText(bytes: unknown): string {
  if (!(bytes instanceof Uint8Array)) throw new Error("a value that is missing");
  try {
    return UTF8.decode(bytes);
  } catch (error) {
    throw new NotUtf8Error("not UTF-8", { cause: error });
  }
}
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decompress(bytes: Uint8Array, size: number, codec: string): Uint8Array {
  // Nothing: a dictionary without words, or a page of nulls.
  if (checkCount("the size of a page", size, MAX_PAGE_BYTES) === 0) return new Uint8Array();
  const page = CODECS[codec]!(bytes, size);
  if (page.length !== size) throw new Error(`a page of ${page.length} bytes where its header says ${size}`);
  return page;
}

function readerOf(bytes: Uint8Array): { view: DataView; offset: number } {
  return { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 };
}

/** Checks a count that the file claims. */
export function checkCount(what: string, value: unknown, maximum: number): number {
  const count = typeof value === "bigint" ? Number(value) : value;
  if (typeof count === "number" && Number.isSafeInteger(count) && count >= 0 && count <= maximum) return count;
  throw new Error(`${what} is ${String(value)}, outside 0 to ${Math.floor(maximum)}`);
}
