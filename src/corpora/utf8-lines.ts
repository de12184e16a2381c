/**
 * @file A text file → its lines with their numbers, holding no more than a line in memory.
 */

import { CusprunError } from "../errors.ts";
import { shellPath } from "../shell.ts";
import { readBytes } from "./read-bytes.ts";

/** Longest line, in bytes. 64 MiB is far more than any model's context; a file without line ends is a mistake. */
export const MAX_LINE_BYTES: number = 64 * 2 ** 20;

const LINE_FEED = 0x0a;
const BYTE_ORDER_MARK = "\ufeff";

/** A line of a file, without its line terminator. */
export interface TextLine {
  /** Starts at 1. */
  readonly number: number;
  readonly text: string;
}

/** A line that is not UTF-8. */
export interface BrokenLine {
  readonly number: number;
  /** `CORPUS_ENCODING`. */
  readonly error: CusprunError;
}

/**
 * Reads the lines of a file. Lines end with LF or CR LF; a byte order mark at the start is skipped.
 * @throws CusprunError `CORPUS_ENCODING` at the first byte that is not UTF-8, and what `readEveryLine` throws.
 */
export async function* readLines(path: string): AsyncGenerator<TextLine> {
  for await (const line of readEveryLine(path)) {
    if ("error" in line) throw line.error;
    yield line;
  }
}

/**
 * Reads the lines of a file, those that are not UTF-8 included.
 * @throws CusprunError `CORPUS_TOO_LARGE` for a line of more than `MAX_LINE_BYTES`, and what `readBytes` throws.
 */
export async function* readEveryLine(path: string): AsyncGenerator<TextLine | BrokenLine> {
  let number = 0;
  let lineStartByte = 0;
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;

  const finishLine = (end: Uint8Array): TextLine | BrokenLine => {
    const bytes = pending.length === 0 ? end : Buffer.concat([...pending, end]);
    number++;
    const line = decodeLine(bytes, path, number, lineStartByte);
    lineStartByte += bytes.length + 1;
    pending = [];
    pendingBytes = 0;
    return line;
  };

  for await (const chunk of readBytes(path)) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      yield finishLine(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start < chunk.length) pending.push(chunk.subarray(start));
    pendingBytes += chunk.length - start;
    if (pendingBytes > MAX_LINE_BYTES) {
      throw new CusprunError("CORPUS_TOO_LARGE", {
        where: `${path}:${number + 1}`,
        found: `a line of more than ${MAX_LINE_BYTES} bytes`,
        expected: "shorter lines",
        remedy: "Split the text into lines or documents",
      });
    }
  }
  if (pendingBytes > 0) yield finishLine(new Uint8Array(0));
}

function decodeLine(bytes: Uint8Array, path: string, number: number, lineStartByte: number): TextLine | BrokenLine {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    return { number, error: notUtf8(path, `${path}:${number}`, lineStartByte + firstInvalidByte(bytes), error) };
  }
  if (number === 1 && text.startsWith(BYTE_ORDER_MARK)) text = text.slice(1);
  return { number, text: text.endsWith("\r") ? text.slice(0, -1) : text };
}

/** The error for bytes that are not UTF-8. Nearly always they are of an older 8-bit encoding. */
export function notUtf8(path: string, where: string, offsetBytes: number, cause: unknown): CusprunError {
  return new CusprunError(
    "CORPUS_ENCODING",
    {
      where,
      found: `bytes that are not UTF-8 at byte ${offsetBytes} of the file`,
      expected: "text in UTF-8",
      remedy: `Save the file as UTF-8; if it is in Latin-1: iconv -f WINDOWS-1252 -t UTF-8 ${shellPath(path)} > FILE`,
    },
    { cause },
  );
}

/** Offset of the first invalid or incomplete UTF-8 sequence. */
function firstInvalidByte(bytes: Uint8Array): number {
  // A streaming decoder accepts an incomplete character and returns its text only once it is complete.
  const decodeStart = (length: number): string | null => {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, length), { stream: true });
    } catch {
      return null;
    }
  };
  let valid = 0;
  let invalid = bytes.length + 1;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    if (decodeStart(middle) === null) invalid = middle;
    else valid = middle;
  }
  return Buffer.byteLength(decodeStart(valid) ?? "");
}
