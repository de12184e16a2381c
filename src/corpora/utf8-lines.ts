/**
 * @file A UTF-8 file, line by line, without holding more than a line of it: path → lines with their numbers.
 */

import { createReadStream } from "node:fs";
import { CusprunError } from "../errors.ts";

/** Longest line that is read, in bytes. A document of 64 MiB is far past what a model reads; a file without line ends is a mistake. */
export const MAX_LINE_BYTES: number = 64 * 2 ** 20;

const READ_BYTES = 1 << 20;
const LINE_FEED = 0x0a;
const BYTE_ORDER_MARK = "\ufeff";

/** A line of a file, without its line end. */
export interface TextLine {
  /** Counted from 1. */
  readonly number: number;
  readonly text: string;
}

/**
 * Reads the lines of a file. Line ends are LF or CR LF; a byte order mark at the start is left out.
 * @throws CusprunError `CORPUS_ENCODING` at the first byte that is not UTF-8, `CORPUS_TOO_LARGE` for a line over `MAX_LINE_BYTES`.
 */
export async function* readLines(path: string): AsyncGenerator<TextLine> {
  let number = 0;
  let lineStartByte = 0;
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;

  const finishLine = (end: Uint8Array): TextLine => {
    const bytes = pending.length === 0 ? end : Buffer.concat([...pending, end]);
    number++;
    const text = decodeLine(bytes, path, number, lineStartByte);
    lineStartByte += bytes.length + 1;
    pending = [];
    pendingBytes = 0;
    return { number, text };
  };

  for await (const chunk of createReadStream(path, { highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>) {
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
        found: `a line of over ${MAX_LINE_BYTES} bytes`,
        expected: "shorter lines",
        remedy: "Part the text into lines or documents",
      });
    }
  }
  if (pendingBytes > 0) yield finishLine(new Uint8Array(0));
}

function decodeLine(bytes: Uint8Array, path: string, number: number, lineStartByte: number): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    const offsetBytes = lineStartByte + firstInvalidByte(bytes);
    throw new CusprunError(
      "CORPUS_ENCODING",
      {
        where: `${path}:${number}`,
        found: `bytes that are not UTF-8 at byte ${offsetBytes} of the file`,
        expected: "text in UTF-8",
        remedy: "Save the file as UTF-8",
      },
      { cause: error },
    );
  }
  if (number === 1 && text.startsWith(BYTE_ORDER_MARK)) text = text.slice(1);
  return text.endsWith("\r") ? text.slice(0, -1) : text;
}

/** Offset of the first sequence that is not UTF-8, or that ends too early. */
function firstInvalidByte(bytes: Uint8Array): number {
  // A stream decoder takes the start of a character as valid and gives its text only when it is complete.
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
