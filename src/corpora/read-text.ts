/**
 * @file Plain text (.txt, .md) → documents. Paragraphs, separated by empty lines, are packed into documents of up to
 * `PACKED_CHARACTERS`; longer paragraphs are split at line ends, and longer lines at spaces.
 */

import type { TextDocument } from "./corpus.ts";
import { readLines } from "./utf8-lines.ts";

/** Size of a packed document, in UTF-16 units: about 500 tokens of English, the default length of a document. */
export const PACKED_CHARACTERS = 2000;

/**
 * Reads the documents of a plain text file, in order.
 * @throws CusprunError what `readLines` throws.
 */
export async function* readText(path: string): AsyncGenerator<TextDocument> {
  let packed = "";
  let firstLine = 0;
  let paragraphEnded = false;
  for await (const line of readLines(path)) {
    const text = line.text.trimEnd();
    if (text === "") {
      paragraphEnded = true;
      continue;
    }
    for (const part of splitLine(text)) {
      const joined = packed === "" ? part : `${packed}${paragraphEnded ? "\n\n" : "\n"}${part}`;
      if (packed !== "" && joined.length > PACKED_CHARACTERS) {
        yield { text: packed, source: `${path}:${firstLine}` };
        packed = part;
        firstLine = line.number;
      } else {
        if (packed === "") firstLine = line.number;
        packed = joined;
      }
      paragraphEnded = false;
    }
  }
  if (packed !== "") yield { text: packed, source: `${path}:${firstLine}` };
}

/**
 * Splits a line into parts of up to `PACKED_CHARACTERS`, at the last space that fits, or else between two characters.
 */
function* splitLine(line: string): Generator<string> {
  let start = 0;
  while (line.length - start > PACKED_CHARACTERS) {
    const limit = start + PACKED_CHARACTERS;
    const space = line.lastIndexOf(" ", limit);
    let end = space > start ? space : limit;
    // Not between the halves of a surrogate pair.
    if ((line.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
    yield line.slice(start, end);
    start = line[end] === " " ? end + 1 : end;
  }
  if (start < line.length) yield line.slice(start);
}
