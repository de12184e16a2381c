/**
 * @file Reads the small files of a model, JSON objects and bytes, after checking their size.
 */

import { readFile, stat } from "node:fs/promises";
import { CusprunError } from "../errors.ts";
import { isJsonObject, parseJsonBytes, type JsonObject } from "../json.ts";
import { asReadError, systemCodeOf } from "../system-errors.ts";

/** The largest known file, Gemma's tokenizer.json, has 33 MB; V8 strings are limited to 512 MB. */
export const MAX_SMALL_FILE_BYTES: number = 256 * 2 ** 20;

/**
 * Reads a small file, or returns null if it does not exist.
 * @throws CusprunError `MODEL_FILE_MISSING` if it cannot be read, `JSON_INVALID` above `MAX_SMALL_FILE_BYTES`.
 */
export async function readSmallFile(path: string): Promise<Uint8Array | null> {
  try {
    const { size } = await stat(path);
    if (size > MAX_SMALL_FILE_BYTES) throw invalid(path, `${size} bytes`, `at most ${MAX_SMALL_FILE_BYTES} bytes`);
    return await readFile(path);
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return null;
    throw asReadError(error, "MODEL_FILE_MISSING", path);
  }
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
    throw invalid(path, `invalid JSON (${(error as Error).message})`, "JSON in UTF-8", error);
  }
  if (!isJsonObject(json)) throw invalid(path, Array.isArray(json) ? "a JSON list" : "a JSON value", "a JSON object");
  return json;
}

function invalid(path: string, found: string, expected: string, cause?: unknown): CusprunError {
  return new CusprunError(
    "JSON_INVALID",
    { where: path, found, expected, remedy: "Download the file again, or correct it" },
    { cause },
  );
}
