/**
 * @file A JSON file (.json) → the items of its list, or its objects if they stand one after another. Read piece by
 * piece, so that a file may be larger than memory; only an item must fit.
 */

import { CusprunError } from "../errors.ts";
import { parseJsonBytes, showValue } from "../json.ts";
import { BACKSLASH, CLOSE_BRACE, CLOSE_BRACKET, COMMA, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "../json-characters.ts";
import { readBytes } from "./read-bytes.ts";
import type { Row } from "./rows.ts";
import { MAX_LINE_BYTES } from "./utf8-lines.ts";

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/**
 * Reads the items of a JSON file: of the list that it holds, or the objects that it holds one after another.
 * @throws CusprunError `CORPUS_JSON` at the first byte that does not continue a list or a sequence of objects;
 * `CORPUS_TOO_LARGE` for an item of more than `MAX_LINE_BYTES`; and what `readBytes` throws.
 */
export async function* readJsonRows(path: string): AsyncGenerator<Row> {
  const splitter = new JsonSplitter(path);
  for await (const chunk of readBytes(path)) yield* splitter.push(chunk);
  splitter.end();
}

/** Where the splitter is: before the first item, before an item, after one, or after the list. */
type State = "start" | "item" | "separator" | "end";

/** Splits the bytes of a JSON file at the ends of its items. What an item contains is left to the parser. */
class JsonSplitter {
  readonly #path: string;
  #state: State = "start";
  #isList = false;
  #items = 0;
  #line = 1;
  /** Parts of the current item in earlier chunks. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** Whether the current item is a number, `true`, `false` or `null`, whose end is the next separator. */
  #isWord = false;
  #skippedMark = 0;

  constructor(path: string) {
    this.#path = path;
  }

  *push(chunk: Uint8Array): Generator<Row> {
    let start = this.#isInItem() ? 0 : -1;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (byte === 0x0a) this.#line++;
      if (start === -1) {
        if (this.#isBetween(byte)) continue;
        start = at;
        this.#depth = 0;
        this.#isWord = byte !== QUOTE && byte !== OPEN_BRACKET && byte !== OPEN_BRACE;
      }
      if (this.#isWord) {
        if (byte !== COMMA && byte !== CLOSE_BRACKET && !isSpace(byte)) continue;
        yield this.#finish(chunk.subarray(start, at));
        start = -1;
        this.#isBetween(byte);
      } else if (this.#endsItem(byte)) {
        yield this.#finish(chunk.subarray(start, at + 1));
        start = -1;
      }
    }
    if (start === -1) return;
    this.#parts.push(chunk.subarray(start));
    this.#partBytes += chunk.length - start;
    if (this.#partBytes <= MAX_LINE_BYTES) return;
    throw new CusprunError("CORPUS_TOO_LARGE", {
      where: this.#here(),
      found: `an item of more than ${MAX_LINE_BYTES} bytes`,
      expected: "shorter items",
      remedy: "Split it into documents",
    });
  }

  /** @throws CusprunError `CORPUS_JSON` if the file ends inside an item or a list. */
  end(): void {
    if (!this.#isInItem() && (this.#state === "end" || !this.#isList)) return;
    throw this.#broken("the end of the file", "the rest of the list");
  }

  #isInItem(): boolean {
    return this.#parts.length > 0;
  }

  /** Handles a byte between items. @returns false if an item begins with it. */
  #isBetween(byte: number): boolean {
    if (isSpace(byte)) return true;
    if (this.#state === "start") {
      if (byte === BYTE_ORDER_MARK[this.#skippedMark]) {
        this.#skippedMark++;
        return true;
      }
      if (byte !== OPEN_BRACKET && byte !== OPEN_BRACE) throw this.#broken(showByte(byte), "a list or an object");
      this.#isList = byte === OPEN_BRACKET;
      this.#state = "item";
      return this.#isList;
    }
    if (this.#isList && byte === CLOSE_BRACKET && (this.#state === "separator" || this.#items === 0)) {
      this.#state = "end";
      return true;
    }
    if (this.#isList && byte === COMMA && this.#state === "separator") {
      this.#state = "item";
      return true;
    }
    if (this.#state !== "item" && this.#isList) {
      throw this.#broken(showByte(byte), this.#state === "end" ? "nothing after the list" : "a comma or the end of the list");
    }
    if (!this.#isList && byte !== OPEN_BRACE) throw this.#broken(showByte(byte), "an object");
    if (byte === COMMA || byte === CLOSE_BRACE) throw this.#broken(showByte(byte), "an item");
    return false;
  }

  /** Follows strings and brackets. @returns whether the item ends with this byte. */
  #endsItem(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
    } else if (byte === QUOTE) this.#inString = true;
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) this.#depth++;
    else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) this.#depth--;
    return !this.#inString && this.#depth === 0;
  }

  #finish(end: Uint8Array): Row {
    const bytes = this.#parts.length === 0 ? end : Buffer.concat([...this.#parts, end]);
    this.#parts = [];
    this.#partBytes = 0;
    this.#items++;
    this.#state = "separator";
    try {
      return { value: parseJsonBytes(bytes), source: `${this.#path}:item ${this.#items}` };
    } catch (error) {
      throw this.#broken(`${showValue(Buffer.from(bytes).toString())} (${(error as SyntaxError).message})`, "valid JSON", error);
    }
  }

  #here(): string {
    return `${this.#path}:item ${this.#items + 1}`;
  }

  #broken(found: string, expected: string, cause?: unknown): CusprunError {
    return new CusprunError(
      "CORPUS_JSON",
      {
        where: `${this.#path}:${this.#line}`,
        found,
        expected,
        remedy: "Correct the file: a JSON list of objects or strings; one object per line is a .jsonl file",
      },
      { cause },
    );
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function showByte(byte: number): string {
  return byte > 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `the byte 0x${byte.toString(16).padStart(2, "0")}`;
}
