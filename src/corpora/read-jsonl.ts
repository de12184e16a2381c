/**
 * @file JSON Lines → objects, one per line.
 */

import { CusprunError } from "../errors.ts";
import { isJsonObject, type JsonObject, parseJson, showValue } from "../json.ts";
import type { BrokenRow, Row } from "./rows.ts";
import { readEveryLine } from "./utf8-lines.ts";

/** The field that holds the text by default. */
export const DEFAULT_TEXT_FIELD = "text";

/** The JSON object of a line. */
export interface JsonRecord extends Row {
  readonly value: JsonObject;
}

/**
 * Reads the objects of a JSON Lines file; a line may be broken. Empty lines are skipped.
 * @throws CusprunError what `readEveryLine` throws.
 */
export async function* readJsonlRows(path: string): AsyncGenerator<JsonRecord | BrokenRow> {
  for await (const line of readEveryLine(path)) {
    if ("error" in line) yield line;
    else if (line.text.trim() !== "") yield parseRecord(line.text, `${path}:${line.number}`);
  }
}

/**
 * Reads the objects of a JSON Lines file. Empty lines are skipped.
 * @throws CusprunError `CORPUS_JSON` for a line that is not a JSON object, `CORPUS_ENCODING` for one that is not UTF-8,
 * and what `readEveryLine` throws.
 */
export async function* readRecords(path: string): AsyncGenerator<JsonRecord> {
  for await (const row of readJsonlRows(path)) {
    if ("error" in row) throw row.error;
    yield row;
  }
}

function parseRecord(line: string, source: string): JsonRecord | BrokenRow {
  try {
    const value = parseJson(line);
    return isJsonObject(value) ? { value, source } : { error: brokenLine(source, showValue(value)) };
  } catch (error) {
    return { error: brokenLine(source, `${showValue(line)} (${(error as SyntaxError).message})`, error) };
  }
}

function brokenLine(source: string, found: string, cause?: unknown): CusprunError {
  return new CusprunError(
    "CORPUS_JSON",
    {
      where: source,
      found,
      expected: "a JSON object on one line",
      remedy: "Correct or remove the line; plain text must be in a .txt file, and a JSON list in a .json file",
    },
    { cause },
  );
}
