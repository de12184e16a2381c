/**
 * @file Files that are kept between runs, and the records that prove them: a record is JSON with a digest of its own
 * content, so that a damaged, truncated or foreign file is never taken for a result. It is made again instead.
 */

import { createHash } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { extname } from "node:path";
import { writeFileAtomically } from "../atomic-write.ts";
import { sha256OfFile } from "../file-digest.ts";
import { isJsonObject, parseJsonBytes } from "../json.ts";

/** Far above the largest record, the trials of a large model; prevents a wrong file from being read into memory. */
const MAX_RECORD_BYTES = 64 * 2 ** 20;

/** Ending of the record of a file, in place of the file's own. */
export const SEAL_SUFFIX = ".index.json";

/** Writes plain JSON as a record. @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`. */
export async function writeRecord(path: string, content: unknown): Promise<void> {
  const text = JSON.stringify({ digest: digestOf(content), content });
  await writeFileAtomically(path, (temporary) => writeFile(temporary, text));
}

/** The content of a record; null if it does not exist, cannot be read, or is not what was written. */
export async function readRecord(path: string): Promise<unknown> {
  try {
    const found = await stat(path);
    if (!found.isFile() || found.size > MAX_RECORD_BYTES) return null;
    const record = parseJsonBytes(await readFile(path));
    if (!isJsonObject(record) || record["digest"] !== digestOf(record["content"])) return null;
    return record["content"];
  } catch {
    return null;
  }
}

/**
 * Seals a finished file: a record next to it holds a digest of its bytes and a description. Only then does the file
 * count as finished.
 */
export async function sealFile(path: string, description: unknown): Promise<void> {
  const file = await sha256OfFile(path).catch(() => null);
  // Another run may have removed it; it is then made again by the next one that needs it.
  if (file !== null) await writeRecord(sealPath(path), { file, description });
}

/** The description of a sealed file; null if it has no seal. */
export async function readSeal(path: string): Promise<unknown> {
  const seal = await readRecord(sealPath(path));
  return isJsonObject(seal) ? seal["description"] : null;
}

/** Whether a file has the bytes that it was sealed with. */
export async function isIntact(path: string): Promise<boolean> {
  const seal = await readRecord(sealPath(path));
  if (!isJsonObject(seal)) return false;
  return (await sha256OfFile(path).catch(() => null)) === seal["file"];
}

function sealPath(path: string): string {
  return path.slice(0, path.length - extname(path).length) + SEAL_SUFFIX;
}

/** SHA-256 (hex) of plain JSON. */
export function digestOf(content: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify(content) ?? "")
    .digest("hex");
}
