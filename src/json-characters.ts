/**
 * @file The characters that give JSON its structure (RFC 8259), for scanners that look at a text without parsing it.
 * They are ASCII, and so the same as bytes of UTF-8.
 */

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const BACKSLASH = 0x5c;
export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACKET = 0x5d;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
export const MINUS = 0x2d;
export const ZERO = 0x30;
export const NINE = 0x39;

/** Position after the closing quote of the string that starts at `start`; the text's end if it is not closed. */
export function endOfString(json: string, start: number): number {
  for (let i = start + 1; i < json.length; i++) {
    const character = json.charCodeAt(i);
    if (character === QUOTE) return i + 1;
    if (character === BACKSLASH) i++;
  }
  return json.length;
}
