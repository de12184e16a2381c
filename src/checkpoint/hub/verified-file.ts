/**
 * @file Whether a kept file is the one that it should be: by SHA-256 the first time, by a stamp beside it as long as it is untouched.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import { readJsonObject } from "../json-files.ts";

/** What a file should be. */
export interface ExpectedFile {
  readonly byteLength: number;
  /** Hex. */
  readonly sha256: string;
}

/**
 * Whether a file is there with the expected size and SHA-256. Hashes it only where no stamp says that exactly this size and time of
 * change were hashed before.
 * @throws the signal's reason.
 */
export async function isVerifiedFile(path: string, expected: ExpectedFile, signal: AbortSignal | undefined): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  if (found === null || !found.isFile() || found.size !== expected.byteLength) return false;
  const stamp = await readJsonObject(stampPath(path)).catch(() => null);
  if (stamp !== null && stamp["sha256"] === expected.sha256 && stamp["mtimeMs"] === found.mtimeMs) return true;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 2 ** 20 }) as AsyncIterable<Uint8Array>)
    hash.update(chunk);
  if (hash.digest("hex") !== expected.sha256) return false;
  await stampVerifiedFile(path, expected);
  return true;
}

/** Remembers that a file, as it is now, was checked. A stamp that cannot be written costs only the next check. */
export async function stampVerifiedFile(path: string, { sha256 }: ExpectedFile): Promise<void> {
  const { mtimeMs } = await stat(path);
  await writeFile(stampPath(path), `${JSON.stringify({ sha256, mtimeMs })}\n`).catch(() => {});
}

function stampPath(path: string): string {
  return `${path}.verified.json`;
}
