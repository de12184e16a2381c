/**
 * @file One string column of a Parquet file → documents. Row groups are read one at a time; other columns are not read.
 */

import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadata,
  parquetSchema,
  type RowGroup,
  type SchemaElement,
} from "hyparquet";
import { CusprunError } from "../errors.ts";
import { showValue } from "../json.ts";
import { asReadError, systemCodeOf } from "../system-errors.ts";
import { withinTime } from "../time-limit.ts";
import type { TextDocument } from "./corpus.ts";
import { checkCount, CODECS, NotUtf8Error, readStringPages, type StringChunk } from "./parquet-pages.ts";
import { DEFAULT_TEXT_FIELD } from "./read-jsonl.ts";

/** Maximum number of rows in a row group. Writers target about a million. */
const MAX_ROW_GROUP_ROWS = 1 << 24;

/** Largest footer, which describes the columns and row groups. Files of terabytes have some megabytes. */
const MAX_FOOTER_BYTES = 64 * 2 ** 20;

/** Magic bytes, at both ends. */
const MAGIC_BYTES = 4;

/** The end of the file: the length of the footer and the magic bytes. */
const TAIL_BYTES = 8;

/** Column names shown in a message, and characters of each. */
const SHOWN_NAMES = 20;
const SHOWN_CHARACTERS = 40;

/**
 * Reads the documents of a Parquet file, page by page. Rows without a value are skipped.
 * @param column a top-level string column.
 * @throws CusprunError `CORPUS_PARQUET` for a damaged file or a compression that Node cannot read, `CORPUS_FIELD` if
 * the column is missing or is not a string column, `CORPUS_ENCODING` if a value is not UTF-8, `CORPUS_TOO_LARGE` above
 * the limits in this file, `CORPUS_NOT_FOUND` if the system cannot read it.
 */
export async function* readParquet(path: string, column: string = DEFAULT_TEXT_FIELD): AsyncGenerator<TextDocument> {
  let where = path;
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await readFooter(file);
    const element = findColumn(metadata, path, column);
    let row = 0;
    for (const [index, group] of metadata.row_groups.entries()) {
      where = `${path}: row group ${index}`;
      for await (const texts of readStringPages(file, chunkOf(group, element, file.byteLength, where))) {
        for (const text of texts) {
          if (text !== null) yield { text, source: `${path}:row ${row}` };
          row++;
        }
      }
    }
  } catch (error) {
    throw asParquetError(error, path, where, column);
  }
}

async function readFooter(file: AsyncBuffer): Promise<FileMetaData> {
  const size = file.byteLength;
  if (size < MAGIC_BYTES + TAIL_BYTES) throw new Error(`${size} bytes`);
  const length = new DataView(await file.slice(size - TAIL_BYTES, size)).getUint32(0, true);
  const limit = Math.min(MAX_FOOTER_BYTES, size - MAGIC_BYTES - TAIL_BYTES);
  const footer = await file.slice(size - TAIL_BYTES - checkCount("the length of the footer", length, limit), size);
  return withinTime(() => parquetMetadata(footer, { geoparquet: false }));
}

function findColumn(metadata: FileMetaData, path: string, column: string): SchemaElement {
  const children = withinTime(() => parquetSchema(metadata).children);
  const element = children.find((child) => child.element.name === column)?.element;
  const isString =
    element?.type === "BYTE_ARRAY" &&
    element.repetition_type !== "REPEATED" &&
    (element.converted_type === "UTF8" || element.logical_type?.type === "STRING");
  if (isString) return element;
  const repeated = element?.repetition_type === "REPEATED" ? "repeated " : "";
  throw new CusprunError("CORPUS_FIELD", {
    where: path,
    found:
      element === undefined ? `the columns ${listNames(children)}` : `'${column}' of type ${repeated}${element.type ?? "group"}`,
    expected: `a string column '${column}'`,
    remedy: `Name the column that holds the text: ${path}#COLUMN`,
  });
}

function listNames(children: readonly { readonly element: SchemaElement }[]): string {
  const names = children.slice(0, SHOWN_NAMES).map(({ element }) => `'${element.name.slice(0, SHOWN_CHARACTERS)}'`);
  return `${names.join(", ")}${children.length > SHOWN_NAMES ? ` and ${children.length - SHOWN_NAMES} more` : ""}`;
}

/** Checks the place, size and compression of the column in a row group. */
function chunkOf(group: RowGroup, { name, repetition_type }: SchemaElement, fileBytes: number, where: string): StringChunk {
  const rows = checkCount("the number of rows", group.num_rows, Number.MAX_SAFE_INTEGER);
  if (rows > MAX_ROW_GROUP_ROWS) {
    throw new CusprunError("CORPUS_TOO_LARGE", {
      where,
      found: `${rows} rows`,
      expected: `at most ${MAX_ROW_GROUP_ROWS}`,
      remedy: "Write the file with smaller row groups",
    });
  }
  const chunk = group.columns.find(({ meta_data: data }) => data?.path_in_schema.length === 1 && data.path_in_schema[0] === name);
  if (chunk?.meta_data === undefined) throw new Error(`no data of the column ${showValue(name)}`);
  if (chunk.file_path !== undefined) throw new Error("a column in another file");
  const { codec, type, data_page_offset, dictionary_page_offset, total_compressed_size } = chunk.meta_data;
  if (type !== "BYTE_ARRAY") throw new Error(`values of type ${type}`);
  if (CODECS[codec] === undefined) {
    throw new CusprunError("CORPUS_PARQUET", {
      where,
      found: `compression ${codec}`,
      expected: `one of ${Object.keys(CODECS).join(", ")}`,
      remedy: codec === "ZSTD" ? "Use Node 22.15 or newer, or write the file with Snappy" : "Write the file with Snappy",
    });
  }
  // Some writers leave out the dictionary's offset, or set it to 0.
  const start = checkCount("the offset of a column", dictionary_page_offset || data_page_offset, fileBytes);
  const end = start + checkCount("the size of a column", total_compressed_size, fileBytes - start);
  return { start, end, rows, codec, isOptional: repetition_type !== "REQUIRED" };
}

function asParquetError(error: unknown, path: string, where: string, column: string): unknown {
  if (error instanceof CusprunError) return error;
  if (systemCodeOf(error) !== null) return asReadError(error, "CORPUS_NOT_FOUND", path);
  if (error instanceof NotUtf8Error) {
    return new CusprunError(
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
  return new CusprunError(
    "CORPUS_PARQUET",
    {
      where,
      found: `a file that cannot be read (${error instanceof Error ? error.message : String(error)})`,
      expected: "a complete Parquet file",
      remedy: "Download or write the file again",
    },
    { cause: error },
  );
}
