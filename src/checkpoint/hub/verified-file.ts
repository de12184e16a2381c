/**
 * @file Verifies a cached file: by its SHA-256 the first time, then by a stamp file next to it as long as it is not
 * modified. The stamp's own time tells when the file was last used.
 */

import { stat, utimes, writeFile } from "node:fs/promises";
import { sha256OfFile } from "../../file-digest.ts";
import { asReadError } from "../../system-errors.ts";
import { readJsonObject } from "../json-files.ts";

/** The expected size and hash of a file. */
export interface ExpectedFile {
  readonly byteLength: number;
  /** Hex. */
  readonly sha256: string;
}

/**
 * Whether a file exists with the expected size and SHA-256. Hashes it only if no stamp shows that it was hashed before
 * with the same modification time.
 * @throws CusprunError `MODEL_FILE_MISSING` if it cannot be read; the signal's reason on abort.
 */
export async function isVerifiedFile(path: string, expected: ExpectedFile, signal: AbortSignal | undefined): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  if (found === null || !found.isFile() || found.size !== expected.byteLength) return false;
  const stamp = await readJsonObject(stampPath(path)).catch(() => null);
  if (stamp !== null && stamp["sha256"] === expected.sha256 && stamp["mtimeMs"] === found.mtimeMs) {
    const now = new Date();
    await utimes(stampPath(path), now, now).catch(() => {});
    return true;
  }
  if ((await sha256Of(path, signal)) !== expected.sha256) return false;
  await stampVerifiedFile(path, expected);
  return true;
}

async function sha256Of(path: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    return await sha256OfFile(path, signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw asReadError(error, "MODEL_FILE_MISSING", path, "the model that was downloaded before");
  }
}

/**
 * Records that a file was verified in its current state. If the stamp cannot be written, the next check hashes again.
 */
export async function stampVerifiedFile(path: string, { sha256 }: ExpectedFile): Promise<void> {
  await stat(path)
    .then(({ mtimeMs }) => writeFile(stampPath(path), `${JSON.stringify({ sha256, mtimeMs })}\n`))
    .catch(() => {});
}

/** Path of the stamp of a verified file. */
export function stampPath(path: string): string {
  return `${path}.verified.json`;
}
