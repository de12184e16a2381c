/**
 * @file JSON Lines → documents: one object per line, with the text in one of its fields.
 */

import { CusprunError } from "../errors.ts";
import type { TextDocument } from "./corpus.ts";
import { readLines } from "./utf8-lines.ts";

/** The field that holds the text by default. */
export const DEFAULT_TEXT_FIELD = "text";

/** Characters of an invalid line that a message shows. */
const SHOWN_CHARACTERS = 60;

/**
 * Reads the documents of a JSON Lines file. Empty lines are skipped.
 * @throws CusprunError `CORPUS_FIELD` if the field is missing or not a string, and what `readRecords` throws.
 */
export async function* readJsonl(path: string, field: string = DEFAULT_TEXT_FIELD): AsyncGenerator<TextDocument> {
  for await (const { record, source } of readRecords(path)) {
    const text = record[field];
    if (typeof text !== "string") {
      throw new CusprunError("CORPUS_FIELD", {
        where: source,
        found: text === undefined ? `the fields ${listKeys(record)}` : `'${field}' of type ${typeof text}`,
        expected: `a string in the field '${field}'`,
        remedy: `Name the field that holds the text: ${path}#FIELD`,
      });
    }
    yield { text, source };
  }
}

function listKeys(record: Readonly<Record<string, unknown>>): string {
  const keys = Object.keys(record).map((key) => `'${key}'`);
  return keys.length === 0 ? "(none)" : keys.join(", ");
}

/** The JSON object of a line. */
export interface JsonRecord {
  readonly record: Readonly<Record<string, unknown>>;
  /** `file.jsonl:12`, for messages. */
  readonly source: string;
}

/**
 * Reads the objects of a JSON Lines file. Empty lines are skipped.
 * @throws CusprunError `CORPUS_JSON` for a line that is not a JSON object, and what `readLines` throws.
 */
export async function* readRecords(path: string): AsyncGenerator<JsonRecord> {
  for await (const line of readLines(path)) {
    if (line.text.trim() === "") continue;
    const source = `${path}:${line.number}`;
    yield { record: parseRecord(line.text, source), source };
  }
}

function parseRecord(line: string, source: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw brokenLine(source, `${shorten(line)} (${(error as SyntaxError).message})`, error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw brokenLine(source, shorten(line));
  return value as Readonly<Record<string, unknown>>;
}

function brokenLine(source: string, found: string, cause?: unknown): CusprunError {
  return new CusprunError(
    "CORPUS_JSON",
    {
      where: source,
      found,
      expected: "a JSON object on one line",
      remedy: "Correct or remove the line; plain text must be in a .txt file",
    },
    { cause },
  );
}

function shorten(line: string): string {
  return JSON.stringify(line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}…` : line);
}
