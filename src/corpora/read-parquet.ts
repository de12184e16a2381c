/**
 * @file A Parquet file → objects, one per row, with the columns that hold the text. Row groups are read one at a time;
 * other columns are not read.
 */

import type { AsyncBuffer, RowGroup } from "hyparquet";
import { CusprunError } from "../errors.ts";
import { type JsonObject, showValue } from "../json.ts";
import { asReadError, systemCodeOf } from "../system-errors.ts";
import { checkCount, CODECS, type LeafChunk, NotUtf8Error, readLeafPages } from "./parquet-pages.ts";
import { type Leaf, openParquet, type ParquetColumn } from "./parquet-schema.ts";
import { openCorpusFile } from "./read-bytes.ts";
import { neededKeys, unknownFields } from "./row-texts.ts";
import type { Row } from "./rows.ts";

/** Maximum number of rows in a row group, and of values in a column of one. Writers target about a million. */
const MAX_ROW_GROUP_ROWS = 1 << 24;

/** Column names shown in a message. */
const SHOWN_COLUMNS = 20;

/**
 * Reads the rows of a Parquet file, page by page.
 * @param field the user's choice of a column.
 * @throws CusprunError `CORPUS_PARQUET` for a damaged file or a compression that Node cannot read, `CORPUS_FIELD` if no
 * column holds text, `CORPUS_ENCODING` if a value is not UTF-8, `CORPUS_TOO_LARGE` above the limits in this file,
 * `CORPUS_NOT_FOUND` if the system cannot read it, `CORPUS_FORMAT` for a pipe or a device.
 */
export async function* readParquetRows(path: string, field: string | null): AsyncGenerator<Row> {
  const handle = await openCorpusFile(path);
  let where = path;
  try {
    const { file, metadata, columns } = await openParquet(handle);
    const chosen = chooseColumns(columns, path, field);
    let first = 0;
    for (const [index, group] of metadata.row_groups.entries()) {
      where = `${path}: row group ${index}`;
      const rows = checkRows(group, where);
      const readers = chosen.map((column) => ({ name: column.name, values: readColumn(file, group, column, where) }));
      for (let row = 0; row < rows; row++) {
        const value: Record<string, unknown> = {};
        for (const { name, values } of readers) {
          const next = await values.next();
          if (next.done === true) throw new Error(`${row} rows of the column ${showValue(name)} where there are ${rows}`);
          value[name] = next.value;
        }
        yield { value, source: `${path}:row ${first + row}` };
      }
      first += rows;
    }
  } catch (error) {
    throw asParquetError(error, path, where);
  } finally {
    await handle.close();
  }
}

/** The columns to read. */
function chooseColumns(columns: readonly ParquetColumn[], path: string, field: string | null): readonly ParquetColumn[] {
  const sample: JsonObject = Object.fromEntries(columns.map((column) => [column.name, sampleOf(column)]));
  const keys = neededKeys(sample, field);
  if (keys === null) {
    const shown = Object.fromEntries(Object.entries(sample).slice(0, SHOWN_COLUMNS));
    throw unknownFields({ value: shown, source: path }, field, path);
  }
  return columns
    .filter(({ name }) => keys.includes(name))
    .map((column) => {
      if (column.leaves.length > 0) return column;
      throw new CusprunError("CORPUS_FIELD", {
        where: path,
        found: `'${column.name}' of type ${column.type}`,
        expected: "a string column, or a list of strings or of messages",
        remedy: `Name the column that holds the text: ${path}#COLUMN`,
      });
    });
}

/** A value of a column's kind. */
function sampleOf({ leaves, isList }: ParquetColumn): unknown {
  if (leaves.length === 0) return 0;
  if (!isList) return "";
  return [leaves[0]?.key === null ? "" : Object.fromEntries(leaves.map(({ key }) => [key, ""]))];
}

function checkRows({ num_rows }: RowGroup, where: string): number {
  const rows = checkCount("the number of rows", num_rows, Number.MAX_SAFE_INTEGER);
  if (rows <= MAX_ROW_GROUP_ROWS) return rows;
  throw new CusprunError("CORPUS_TOO_LARGE", {
    where,
    found: `${rows} rows`,
    expected: `at most ${MAX_ROW_GROUP_ROWS}`,
    remedy: "Write the file with smaller row groups",
  });
}

/** The values of a column in a row group, one per row: a string, a list of strings, a list of objects, or null. */
async function* readColumn(file: AsyncBuffer, group: RowGroup, { leaves, isList }: ParquetColumn, where: string): AsyncGenerator {
  const lists = leaves.map((leaf) => readLeaf(file, chunkOf(group, leaf, file.byteLength, where), leaf));
  for (;;) {
    const next = await Promise.all(lists.map((list) => list.next()));
    if (next.some(({ done }) => done === true)) return;
    const [first, ...others] = next.map(({ value }) => value as readonly (string | null)[] | null);
    if (others.some((other) => other?.length !== first?.length)) throw new Error("lists of different lengths in one row");
    if (first === null || first === undefined) yield null;
    else if (!isList) yield first[0] ?? null;
    else if (leaves[0]?.key === null) yield first;
    else {
      const parts = [first, ...others];
      const valueOf = (leaf: number, item: number): string | null => parts[leaf]?.[item] ?? null;
      yield first.map((_, item): JsonObject => {
        const entries = leaves.map(({ key }, leaf): [string, string | null] => [key ?? "", valueOf(leaf, item)]);
        return Object.fromEntries<string | null>(entries);
      });
    }
  }
}

/** The values of a leaf, row by row: those of the row's list, or a single one. Null for a row without a value. */
async function* readLeaf(
  file: AsyncBuffer,
  chunk: LeafChunk,
  { itemDefinition, columnDefinition, maxRepetition }: Leaf,
): AsyncGenerator<readonly (string | null)[] | null> {
  let row: (string | null)[] | null | undefined;
  for await (const { texts, definitions, repetitions } of readLeafPages(file, chunk)) {
    for (const [index, text] of texts.entries()) {
      const definition = definitions?.[index] ?? chunk.maxDefinition;
      const isNew = maxRepetition === 0 || repetitions?.[index] === 0;
      if (isNew) {
        if (row !== undefined) yield row;
        row = definition < columnDefinition ? null : [];
      }
      if (row === undefined) throw new Error("a list that begins in the middle");
      if (row !== null && definition >= itemDefinition) row.push(text);
    }
  }
  if (row !== undefined) yield row;
}

/** Checks the place, size and compression of a leaf in a row group. */
function chunkOf(group: RowGroup, { path, maxDefinition, maxRepetition }: Leaf, fileBytes: number, where: string): LeafChunk {
  const name = path.join(".");
  const chunk = group.columns.find(({ meta_data: data }) => data?.path_in_schema.join(".") === name);
  if (chunk?.meta_data === undefined) throw new Error(`no data of the column ${showValue(name)}`);
  if (chunk.file_path !== undefined) throw new Error("a column in another file");
  const { codec, type, data_page_offset, dictionary_page_offset, total_compressed_size, num_values } = chunk.meta_data;
  if (type !== "BYTE_ARRAY") throw new Error(`values of type ${type}`);
  if (CODECS[codec] === undefined) {
    throw new CusprunError("CORPUS_PARQUET", {
      where,
      found: `compression ${codec}`,
      expected: `one of ${Object.keys(CODECS).join(", ")}`,
      remedy: codec === "ZSTD" ? "Use Node 22.15 or newer, or write the file with Snappy" : "Write the file with Snappy",
    });
  }
  const values = checkCount("the number of values", num_values, MAX_ROW_GROUP_ROWS);
  // Some writers leave out the dictionary's offset, or set it to 0.
  const start = checkCount("the offset of a column", dictionary_page_offset || data_page_offset, fileBytes);
  const end = start + checkCount("the size of a column", total_compressed_size, fileBytes - start);
  return { start, end, values, codec, maxDefinition, maxRepetition };
}

function asParquetError(error: unknown, path: string, where: string): unknown {
  if (error instanceof CusprunError) return error;
  if (systemCodeOf(error) !== null) return asReadError(error, "CORPUS_NOT_FOUND", path);
  if (error instanceof NotUtf8Error) {
    return new CusprunError(
      "CORPUS_ENCODING",
      {
        where,
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
