/**
 * @file The SHA-256 of a file, read piece by piece.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

const READ_BYTES = 2 ** 20;

/** SHA-256 (hex) of a file's bytes. @throws the system's error; the signal's error on abort. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { signal, highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>)
    hash.update(chunk);
  return hash.digest("hex");
}
