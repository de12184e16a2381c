/**
 * @file Bytes ↔ the characters that stand for them in a byte-level vocabulary.
 * Source: GPT-2's `bytes_to_unicode`: printable bytes are themselves, the others are characters from U+0100 on.
 */

/** The character of each byte, [256]. */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  const isPrintable = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : 256 + others++));
})();

/** Bytes that occur in UTF-8 text: 0xC0, 0xC1 and 0xF5 to 0xFF do not. */
export const TEXT_BYTES: ReadonlySet<number> = new Set(
  Array.from({ length: 0xf5 }, (_, byte) => byte).filter((byte) => byte !== 0xc0 && byte !== 0xc1),
);

const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));

/** Text of a byte-level token; invalid UTF-8 becomes U+FFFD. */
export function byteLevelText(token: string): string {
  return Buffer.from(Array.from(token, (character) => BYTE_OF_CHARACTER.get(character) ?? 0)).toString("utf8");
}

/** The token of a byte in a vocabulary with byte fallback, e.g. `<0x0A>`. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}
