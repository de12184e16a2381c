/**
 * @file Reads the small files of a model, JSON objects and bytes, after checking their size.
 */

import { realpath } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { CusprunError } from "../errors.ts";
import { isJsonObject, parseJsonBytes, type JsonObject } from "../json.ts";
import { readRegularFile } from "../regular-files.ts";
import { asReadError } from "../system-errors.ts";
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
 * Reads a small file of a model, or returns null if it does not exist. Such a file may be copied into an output: one
 * that is a link must lead to a file of the model, in its folder or in the blobs of the hub's cache.
 * @param folder the model's folder.
 * @throws CusprunError `MODEL_FILE_LINK`, and what `readSmallFile` throws.
 */
export async function readModelFile(folder: string, name: string): Promise<Uint8Array | null> {
  const path = join(folder, name);
  const bytes = await readSmallFile(path);
  if (bytes === null || !(await isForeignLink(folder, path))) return bytes;
  throw new CusprunError("MODEL_FILE_LINK", {
    where: path,
    found: "a link to a file outside the model's folder",
    expected: "a file of the model: it may be copied into what is written",
    remedy: "Put a copy of the file in place of the link, if it belongs to the model",
  });
}

async function isForeignLink(folder: string, path: string): Promise<boolean> {
  try {
    const [home, target] = await Promise.all([realpath(folder), realpath(path)]);
    // The hub's cache: snapshots/REVISION/FILE is a link to blobs/HASH.
    const snapshots = dirname(home);
    const homes = basename(snapshots) === "snapshots" ? [home, join(dirname(snapshots), "blobs")] : [home];
    return homes.every((place) => !target.startsWith(place + sep));
  } catch (error) {
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
