/**
 * @file Comma- or tab-separated values (.csv, .tsv) → objects, one per row, with the names of the first row as keys.
 */

import { pipeline } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { CusprunError } from "../errors.ts";
import { readBytes } from "./read-bytes.ts";
import type { BrokenRow, Row } from "./rows.ts";
import { MAX_LINE_BYTES, notUtf8 } from "./utf8-lines.ts";

/** Separators of a .csv file: spreadsheets of many countries write semicolons. */
const SEPARATORS = [",", ";", "\t"];

/** What `csv-parse` gives for each row with the option `info`. */
interface ParsedRow {
  readonly record: readonly string[];
  /** `lines`: the line on which the row ends, from 1. */
  readonly info: { readonly lines: number };
}

/**
 * Reads the rows of a file. A row with more or fewer values than there are names is broken; empty lines are skipped.
 * @throws CusprunError `CORPUS_CSV` for a quote that is not closed; `CORPUS_ENCODING`; `CORPUS_TOO_LARGE` for a row of
 * more than `MAX_LINE_BYTES`; and what `readBytes` throws.
 */
export async function* readCsvRows(path: string): AsyncGenerator<Row | BrokenRow> {
  const bytes = readStrictUtf8(path);
  const first = await bytes.next();
  if (first.done === true) return;
  const parser = parse({
    delimiter: /\.tsv(\.\w+)?$/i.test(path) ? "\t" : separatorOf(first.value),
    info: true,
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: true,
    bom: true,
    max_record_size: MAX_LINE_BYTES,
  });
  // An error of the source ends the iteration over the parser; the callback would receive it once more.
  pipeline(prepend(first.value, bytes), parser, () => {});
  let names: readonly string[] | null = null;
  let row = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<ParsedRow>) {
      if (names === null) {
        names = record.map((name) => name.trim());
        continue;
      }
      row++;
      // Quoted values may hold line ends, so a row has no line of its own; its last one is easy to find.
      const source = `${path}:row ${row} (line ${info.lines})`;
      const keys: readonly string[] = names;
      if (record.length === keys.length) yield { value: Object.fromEntries(record.map((cell, i) => [keys[i], cell])), source };
      else yield { error: unevenRow(source, record.length, keys.length) };
    }
  } catch (error) {
    throw error instanceof CsvError ? asCorpusError(error, path, row) : error;
  } finally {
    // A parser that fails on the first bytes never asks for the rest, and the file would stay open.
    await bytes.return(undefined);
  }
}

async function* prepend(first: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  yield* rest;
}

/** The bytes of a file. @throws CusprunError `CORPUS_ENCODING` if they are not UTF-8. */
async function* readStrictUtf8(path: string): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let offsetBytes = 0;
  const check = (chunk?: Uint8Array): void => {
    try {
      decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (error) {
      throw notUtf8(path, path, offsetBytes, error);
    }
  };
  for await (const chunk of readBytes(path)) {
    check(chunk);
    offsetBytes += chunk.length;
    yield chunk;
  }
  check();
}

/** The separator that occurs most in the first line. */
function separatorOf(start: Uint8Array): string {
  const line = Buffer.from(start).toString("utf8").split("\n", 1)[0] ?? "";
  const count = (separator: string): number => line.split(separator).length;
  return SEPARATORS.reduce((best, separator) => (count(separator) > count(best) ? separator : best));
}

function unevenRow(source: string, found: number, expected: number): CusprunError {
  return new CusprunError("CORPUS_CSV", {
    where: source,
    found: `${found} values`,
    expected: `${expected}, as in the first row, which names the columns`,
    remedy: "Put values that contain the separator into double quotes",
  });
}

function asCorpusError(error: CsvError, path: string, row: number): CusprunError {
  const where = `${path}:row ${row + 1}`;
  if (error.code === "CSV_MAX_RECORD_SIZE") {
    return new CusprunError(
      "CORPUS_TOO_LARGE",
      {
        where,
        found: `a row of more than ${MAX_LINE_BYTES} bytes`,
        expected: "shorter rows",
        remedy: "Look for a double quote that is not closed, or split the text into documents",
      },
      { cause: error },
    );
  }
  return new CusprunError(
    "CORPUS_CSV",
    {
      where,
      found: error.code === "CSV_QUOTE_NOT_CLOSED" ? "a double quote that is not closed" : `no valid row (${error.message})`,
      expected: "values that are separated and quoted as in RFC 4180",
      remedy: "Close or double the quotes in this row",
    },
    { cause: error },
  );
}
