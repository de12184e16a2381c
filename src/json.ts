/**
 * @file Parses and shows JSON that we did not write. Deep nesting is refused when the text is parsed, so that no later
 * step can run out of stack; a value in a message is shortened in depth and length.
 */

import { CLOSE_BRACE, CLOSE_BRACKET, endOfString, OPEN_BRACE, OPEN_BRACKET, QUOTE } from "./json-characters.ts";

/** The deepest JSON that is accepted. Known configs, tokenizers and plans stay below 20 levels. */
export const MAX_JSON_DEPTH = 200;

/** Maximum length of a value in a message. */
const MAX_SHOWN_CHARACTERS = 80;

/** Objects and arrays inside this many others are shown as `…`. */
const MAX_SHOWN_DEPTH = 4;

/** A parsed JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a value is a JSON object, not an array and not null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Parses a JSON text (RFC 8259).
 * @param reviver as of `JSON.parse`.
 * @throws SyntaxError if it is not JSON, or nests objects and arrays more than `MAX_JSON_DEPTH` deep.
 */
export function parseJson(text: string, reviver?: (key: string, value: unknown) => unknown): unknown {
  if (depthOf(text) > MAX_JSON_DEPTH) throw new SyntaxError(`objects and arrays nest more than ${MAX_JSON_DEPTH} deep`);
  try {
    return JSON.parse(text, reviver);
  } catch (error) {
    // V8 quotes the text, which may be a thousand characters of one line.
    throw new SyntaxError(shorten((error as Error).message, 2 * MAX_SHOWN_CHARACTERS), { cause: error });
  }
}

/**
 * The first text in a parsed value, keys among them, that is not Unicode: JSON's escapes can write half of a character,
 * which strict readers refuse. Null if there is none.
 */
export function findIllFormedText(value: unknown): string | null {
  if (typeof value === "string") return /\p{Surrogate}/u.test(value) ? value : null;
  if (typeof value !== "object" || value === null) return null;
  for (const [key, entry] of Object.entries(value)) {
    const found = findIllFormedText(key) ?? findIllFormedText(entry);
    if (found !== null) return found;
  }
  return null;
}

/** Parses UTF-8 bytes as `parseJson` does. @throws SyntaxError, also for bytes that are not UTF-8. */
export function parseJsonBytes(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new SyntaxError("bytes that are not UTF-8", { cause: error });
  }
  return parseJson(text);
}

/** Formats any value for a message: its JSON, shortened in depth and length. Never throws. */
export function showValue(value: unknown): string {
  if (value === undefined) return "nothing";
  return shorten(render(value, 0), MAX_SHOWN_CHARACTERS);
}

function render(value: unknown, depth: number): string {
  if (typeof value === "string") return JSON.stringify(shorten(value, MAX_SHOWN_CHARACTERS));
  if (typeof value !== "object" || value === null) return String(value);
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (depth >= MAX_SHOWN_DEPTH) return Array.isArray(value) ? "[…]" : "{…}";
  if (Array.isArray(value)) return `[${renderEntries(value, (entry) => render(entry, depth + 1))}]`;
  const entries = Object.entries(value);
  return `{${renderEntries(entries, ([key, entry]) => `${render(key, depth)}:${render(entry, depth + 1)}`)}}`;
}

/** Renders as many entries as can be shown: a list may have millions. */
function renderEntries<T>(entries: readonly T[], renderEntry: (entry: T) => string): string {
  let text = "";
  for (const entry of entries) {
    text += `${text === "" ? "" : ","}${renderEntry(entry)}`;
    if (text.length > MAX_SHOWN_CHARACTERS) break;
  }
  return text;
}

function shorten(text: string, maxCharacters: number): string {
  return text.length > maxCharacters ? `${text.slice(0, maxCharacters)}…` : text;
}

/** The deepest nesting of brackets outside strings, in a text that need not be valid. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case OPEN_BRACKET:
      case OPEN_BRACE:
        deepest = Math.max(deepest, ++depth);
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
        break;
      case QUOTE:
        i = endOfString(text, i) - 1;
        break;
      default:
    }
  }
  return deepest;
}
