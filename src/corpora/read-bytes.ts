/**
 * @file A text file → its bytes in UTF-8: decompressed (.gz, .zst), and converted if it begins with the byte order mark
 * of UTF-16. Only regular files are opened, and what a file decompresses to is bounded.
 */

import type { FileHandle } from "node:fs/promises";
import { pipeline } from "node:stream";
import { TextDecoder } from "node:util";
import { createGunzip } from "node:zlib";
import { CusprunError } from "../errors.ts";
import { openRegularFile } from "../regular-files.ts";
import { shellPath } from "../shell.ts";
import { asReadError } from "../system-errors.ts";
import { unzstd, ZstdError } from "./unzstd.ts";

/** The extensions of compressed files, after the extension of what they contain: `.jsonl.gz`. */
export const COMPRESSED_EXTENSIONS: readonly string[] = [".gz", ".zst"];

/**
 * A file may decompress to this many times its size, or to `ALWAYS_ALLOWED_BYTES` if that is more. Text compresses to a
 * tenth at most, logs and tables to a fiftieth; only files made for harm to a thousandth.
 */
const MAX_EXPANSION = 200;
const ALWAYS_ALLOWED_BYTES = 2 ** 30;

const READ_BYTES = 1 << 20;

type Chunks = AsyncIterable<Uint8Array>;

/**
 * Reads a file. The byte order mark of UTF-8 is kept; that of UTF-16 is removed with its encoding.
 * @throws CusprunError `CORPUS_NOT_FOUND` for what the system does not let read; `CORPUS_FORMAT` for a pipe or a
 * device; `CORPUS_COMPRESSED` for damaged compressed data; `CORPUS_TOO_LARGE` above the bounds of this file;
 * `CORPUS_ENCODING` for broken UTF-16 and for UTF-32.
 */
export async function* readBytes(path: string): AsyncGenerator<Uint8Array> {
  const handle = await openCorpusFile(path);
  try {
    const { size } = await handle.stat();
    yield* toUtf8(decompress(handle, path, size), path);
  } catch (error) {
    throw asReadError(error, "CORPUS_NOT_FOUND", path);
  } finally {
    await handle.close();
  }
}

/**
 * Opens a file of a corpus.
 * @throws CusprunError `CORPUS_NOT_FOUND`; `CORPUS_FORMAT` for what is not a regular file.
 */
export function openCorpusFile(path: string): Promise<FileHandle> {
  return openRegularFile(path, "CORPUS_NOT_FOUND", "a readable file", "CORPUS_FORMAT");
}

function decompress(handle: FileHandle, path: string, byteLength: number): Chunks {
  const file = handle.createReadStream({ highWaterMark: READ_BYTES });
  const name = path.toLowerCase();
  if (name.endsWith(".gz")) {
    const gunzip = createGunzip({ chunkSize: READ_BYTES });
    // An error of one of the two streams ends the iteration over the other; the callback would receive it once more.
    pipeline(file, gunzip, () => {});
    return bounded(gunzip, path, byteLength);
  }
  return name.endsWith(".zst") ? bounded(unzstd(file), path, byteLength) : file;
}

async function* bounded(decompressed: Chunks, path: string, byteLength: number): AsyncGenerator<Uint8Array> {
  const maxBytes = Math.max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * byteLength);
  let total = 0;
  try {
    for await (const chunk of decompressed) {
      total += chunk.length;
      if (total > maxBytes) {
        throw new CusprunError("CORPUS_TOO_LARGE", {
          where: path,
          found: `more than ${maxBytes} bytes from a file of ${byteLength}`,
          expected: `text that is at most ${MAX_EXPANSION} times as large as its compressed file`,
          remedy: "Decompress the file, check its content, and pass the part that you need",
        });
      }
      yield chunk;
    }
  } catch (error) {
    throw isDamage(error) ? damaged(path, error) : error;
  }
}

/** Whether an error is about the compressed data. */
function isDamage(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  return error instanceof ZstdError || (error as NodeJS.ErrnoException).code?.startsWith("Z_") === true;
}

function damaged(path: string, cause: Error): CusprunError {
  return new CusprunError(
    "CORPUS_COMPRESSED",
    {
      where: path,
      found: `damaged or incomplete compressed data (${cause.message})`,
      expected: path.toLowerCase().endsWith(".gz") ? "a complete gzip file" : "a complete Zstandard file",
      remedy: "Download or compress the file again; if it is not compressed, remove the last extension from its name",
    },
    { cause },
  );
}

/** Converts UTF-16 to UTF-8 if the bytes begin with its byte order mark. */
async function* toUtf8(chunks: Chunks, path: string): AsyncGenerator<Uint8Array> {
  let decoder: TextDecoder | null = null;
  let start: Uint8Array | null = new Uint8Array(0);
  for await (const chunk of chunks) {
    let bytes = chunk;
    if (start !== null) {
      bytes = start.length === 0 ? chunk : Buffer.concat([start, chunk]);
      start = bytes.length < 4 ? bytes : null;
      if (start !== null) continue;
      decoder = utf16Decoder(bytes, path);
    }
    yield decoder === null ? bytes : transcode(decoder, bytes, path);
  }
  if (start !== null) decoder = utf16Decoder(start, path);
  if (decoder !== null) yield transcode(decoder, start, path);
  else if (start !== null && start.length > 0) yield start;
}

function utf16Decoder(start: Uint8Array, path: string): TextDecoder | null {
  const [a, b, c, d] = start;
  if ((a === 0xff && b === 0xfe && c === 0 && d === 0) || (a === 0 && b === 0 && c === 0xfe && d === 0xff)) {
    throw encodingError(path, "text in UTF-32", "iconv -f UTF-32 -t UTF-8");
  }
  if (a === 0xff && b === 0xfe) return new TextDecoder("utf-16le", { fatal: true });
  return a === 0xfe && b === 0xff ? new TextDecoder("utf-16be", { fatal: true }) : null;
}

/** @param bytes null: the end of the file. */
function transcode(decoder: TextDecoder, bytes: Uint8Array | null, path: string): Uint8Array {
  try {
    return Buffer.from(bytes === null ? decoder.decode() : decoder.decode(bytes, { stream: true }));
  } catch (error) {
    throw encodingError(path, "a byte order mark of UTF-16, and bytes that are not UTF-16", "iconv -c -f UTF-16 -t UTF-8", error);
  }
}

function encodingError(path: string, found: string, command: string, cause?: unknown): CusprunError {
  return new CusprunError(
    "CORPUS_ENCODING",
    { where: path, found, expected: "text in UTF-8", remedy: `Convert it, e.g. ${command} ${shellPath(path)} > FILE` },
    { cause },
  );
}
