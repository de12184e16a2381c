/**
 * @file One string column of a Parquet file → documents. Row groups are read one at a time; other columns are not read.
 */

import * as zlib from "node:zlib";
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  snappyUncompress,
} from "hyparquet";
import { CusprunError } from "../errors.ts";
import type { TextDocument } from "./corpus.ts";
import { DEFAULT_TEXT_FIELD } from "./read-jsonl.ts";

/** Largest page that is decompressed, in bytes. Writers target 1 MiB; a header may claim 2 GiB. */
const MAX_PAGE_BYTES = 256 * 2 ** 20;

/** Maximum number of rows in a row group, which is read at once. Writers target about a million. */
const MAX_ROW_GROUP_ROWS = 1 << 24;

/** Size of the smallest file: the magic bytes at both ends and the length of the footer. */
const MIN_FILE_BYTES = 12;

type Decompress = (input: Uint8Array, outputLength: number) => Uint8Array;

/** Node's own decompressors; zstd is available since Node 22.15. */
const zstd = (zlib as { zstdDecompressSync?: (input: Uint8Array, options: zlib.ZlibOptions) => Buffer }).zstdDecompressSync;
const DECOMPRESSORS: Readonly<Record<string, Decompress>> = {
  SNAPPY: bounded((input, outputLength) => {
    const output = new Uint8Array(outputLength);
    snappyUncompress(input, output);
    return output;
  }),
  GZIP: bounded((input, outputLength) => zlib.gunzipSync(input, { maxOutputLength: outputLength })),
  BROTLI: bounded((input, outputLength) => zlib.brotliDecompressSync(input, { maxOutputLength: outputLength })),
  ...(zstd === undefined ? {} : { ZSTD: bounded((input, outputLength) => zstd(input, { maxOutputLength: outputLength })) }),
};

/** Thrown by the string decoder; distinguishes invalid text from a damaged file. */
class NotUtf8Error extends Error {}

/**
 * Reads the documents of a Parquet file. Rows without a value are skipped.
 * @param column a top-level string column.
 * @throws CusprunError `CORPUS_PARQUET` for a damaged file or a compression that Node cannot read, `CORPUS_FIELD` if
 * the column is missing or is not a string column, `CORPUS_ENCODING` if a value is not UTF-8, `CORPUS_TOO_LARGE` above
 * the limits in this file.
 */
export async function* readParquet(path: string, column: string = DEFAULT_TEXT_FIELD): AsyncGenerator<TextDocument> {
  const { file, metadata } = await openParquet(path);
  checkColumn(metadata, path, column);
  let rowStart = 0;
  for (const [group, { num_rows, columns }] of metadata.row_groups.entries()) {
    const where = `${path}: row group ${group}`;
    const rowEnd = rowStart + Number(num_rows);
    if (Number(num_rows) > MAX_ROW_GROUP_ROWS) {
      throw new CusprunError("CORPUS_TOO_LARGE", {
        where,
        found: `${num_rows} rows`,
        expected: `at most ${MAX_ROW_GROUP_ROWS}`,
        remedy: "Write the file with smaller row groups",
      });
    }
    const codec = columns.find((chunk) => chunk.meta_data?.path_in_schema[0] === column)?.meta_data?.codec ?? "UNCOMPRESSED";
    if (codec !== "UNCOMPRESSED" && DECOMPRESSORS[codec] === undefined) {
      throw new CusprunError("CORPUS_PARQUET", {
        where,
        found: `compression ${codec}`,
        expected: `one of UNCOMPRESSED, ${Object.keys(DECOMPRESSORS).join(", ")}`,
        remedy: codec === "ZSTD" ? "Use Node 22.15 or newer, or write the file with Snappy" : "Write the file with Snappy",
      });
    }
    for (const [index, text] of (await readRows(file, metadata, { path, column, where, rowStart, rowEnd })).entries()) {
      if (text !== null && text !== undefined) yield { text, source: `${path}:row ${rowStart + index}` };
    }
    rowStart = rowEnd;
  }
}

async function openParquet(path: string): Promise<{ file: AsyncBuffer; metadata: FileMetaData }> {
  try {
    const file = await asyncBufferFromFile(path);
    if (file.byteLength < MIN_FILE_BYTES) throw new Error(`${file.byteLength} bytes`);
    return { file, metadata: await parquetMetadataAsync(file) };
  } catch (error) {
    throw damaged(path, error);
  }
}

function checkColumn(metadata: FileMetaData, path: string, column: string): void {
  const children = parquetSchema(metadata).children;
  const element = children.find((child) => child.element.name === column)?.element;
  const isString =
    element?.type === "BYTE_ARRAY" && (element.converted_type === "UTF8" || element.logical_type?.type === "STRING");
  if (isString) return;
  throw new CusprunError("CORPUS_FIELD", {
    where: path,
    found:
      element === undefined
        ? `the columns ${children.map((child) => `'${child.element.name}'`).join(", ")}`
        : `'${column}' of type ${element.type ?? "group"}`,
    expected: `a string column '${column}'`,
    remedy: `Name the column that holds the text: ${path}#COLUMN`,
  });
}

async function readRows(
  file: AsyncBuffer,
  metadata: FileMetaData,
  { path, column, where, rowStart, rowEnd }: { path: string; column: string; where: string; rowStart: number; rowEnd: number },
): Promise<(string | null | undefined)[]> {
  try {
    const rows = await parquetReadObjects({
      file,
      metadata,
      columns: [column],
      rowStart,
      rowEnd,
      compressors: DECOMPRESSORS,
      parsers: { stringFromBytes: decodeStrictly },
    });
    return rows.map((row) => row[column] as string | null | undefined);
  } catch (error) {
    if (error instanceof CusprunError) throw error;
    if (!(error instanceof NotUtf8Error)) throw damaged(path, error);
    throw new CusprunError(
      "CORPUS_ENCODING",
      {
        where: `${where}, column '${column}'`,
        found: "bytes that are not UTF-8",
        expected: "text in UTF-8",
        remedy: "Write the column as UTF-8 strings",
      },
      { cause: error },
    );
  }
}

/** Bytes of a string column → text; hyparquet's own decoder would replace invalid UTF-8. */
function decodeStrictly(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new NotUtf8Error("not UTF-8", { cause: error });
  }
}

function bounded(decompress: Decompress): Decompress {
  return (input, outputLength) => {
    if (outputLength > MAX_PAGE_BYTES) throw new Error(`a page of ${outputLength} bytes, above the limit of ${MAX_PAGE_BYTES}`);
    return decompress(input, outputLength);
  };
}

function damaged(path: string, cause: unknown): CusprunError {
  return new CusprunError(
    "CORPUS_PARQUET",
    {
      where: path,
      found: `a file that cannot be read (${cause instanceof Error ? cause.message : String(cause)})`,
      expected: "a complete Parquet file",
      remedy: "Download or write the file again",
    },
    { cause },
  );
}
