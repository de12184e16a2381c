/**
 * @file Reads the small files of a model, JSON objects and bytes, after checking their size.
 */

import { CusprunError } from "../errors.ts";
import { isJsonObject, parseJsonBytes, type JsonObject } from "../json.ts";
import { readRegularFile } from "../regular-files.ts";
import { recogniseFile } from "./foreign-file.ts";

/** The largest known file, Gemma's tokenizer.json, has 33 MB; V8 strings are limited to 512 MB. */
export const MAX_SMALL_FILE_BYTES: number = 256 * 2 ** 20;

/**
 * Reads a small file, or returns null if it does not exist.
 * @throws CusprunError `MODEL_FILE_MISSING` if it cannot be read, is not a regular file, or has more than
 * `MAX_SMALL_FILE_BYTES`.
 */
export async function readSmallFile(path: string): Promise<Uint8Array | null> {
  return readRegularFile(path, "MODEL_FILE_MISSING", "a readable file", MAX_SMALL_FILE_BYTES);
}

/**
 * Reads a JSON object, or returns null if the file does not exist.
 * @throws CusprunError `JSON_INVALID`, and what `readSmallFile` throws.
 */
export async function readJsonObject(path: string): Promise<JsonObject | null> {
  const bytes = await readSmallFile(path);
  return bytes === null ? null : parseJsonObject(bytes, path);
}

/**
 * Parses UTF-8 bytes as a JSON object.
 * @throws CusprunError `JSON_INVALID`.
 */
export function parseJsonObject(bytes: Uint8Array, path: string): JsonObject {
  let json: unknown;
  try {
    json = parseJsonBytes(bytes);
  } catch (error) {
    const foreign = recogniseFile(bytes, "json");
    const found = foreign?.found ?? `invalid JSON (${(error as Error).message})`;
    throw invalid(path, found, "JSON in UTF-8", foreign?.remedy, error);
  }
  if (!isJsonObject(json)) throw invalid(path, Array.isArray(json) ? "a JSON list" : "a JSON value", "a JSON object");
  return json;
}

function invalid(
  path: string,
  found: string,
  expected: string,
  remedy: string = "Download the file again, or correct it",
  cause?: unknown,
): CusprunError {
  return new CusprunError("JSON_INVALID", { where: path, found, expected, remedy }, { cause });
}
