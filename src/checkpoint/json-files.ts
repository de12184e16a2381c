/**
 * @file Reading of a model's small files: JSON objects and bytes, bounded before they are read.
 */

import { readFile, stat } from "node:fs/promises";
import { CusprunError } from "../errors.ts";
import { isJsonObject, type JsonObject } from "./config/config-fields.ts";

/** The largest known, Gemma's tokenizer.json, has 33 MB; V8 holds no string over 512 MB. */
export const MAX_SMALL_FILE_BYTES: number = 256 * 2 ** 20;

/**
 * A small file's bytes, or null where there is no such file.
 * @throws CusprunError `MODEL_FILE_MISSING` where it cannot be read, `JSON_INVALID` over `MAX_SMALL_FILE_BYTES`.
 */
export async function readSmallFile(path: string): Promise<Uint8Array | null> {
  try {
    const { size } = await stat(path);
    if (size > MAX_SMALL_FILE_BYTES) throw invalid(path, `${size} bytes`, `at most ${MAX_SMALL_FILE_BYTES}`);
    return await readFile(path);
  } catch (error) {
    if (error instanceof CusprunError) throw error;
    const systemCode = (error as NodeJS.ErrnoException).code;
    if (systemCode === "ENOENT") return null;
    throw new CusprunError(
      "MODEL_FILE_MISSING",
      {
        where: path,
        found: `the system's answer ${systemCode}`,
        expected: "a file that can be read",
        remedy: "Check the path and its permissions",
      },
      { cause: error },
    );
  }
}

/**
 * A JSON object, or null where there is no such file.
 * @throws CusprunError `JSON_INVALID`, and as `readSmallFile`.
 */
export async function readJsonObject(path: string): Promise<JsonObject | null> {
  const bytes = await readSmallFile(path);
  return bytes === null ? null : parseJsonObject(bytes, path);
}

/**
 * Parses bytes as a JSON object in UTF-8.
 * @throws CusprunError `JSON_INVALID`.
 */
export function parseJsonObject(bytes: Uint8Array, path: string): JsonObject {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalid(path, `no JSON (${(error as Error).message})`, "JSON in UTF-8", error);
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
