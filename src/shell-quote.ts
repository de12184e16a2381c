/**
 * @file Paths in commands that a message shows.
 */

/** A path as one word of a POSIX shell: as it is if nothing in it is special, or else in single quotes. */
export function shellQuote(path: string): string {
  return /^[\w./:@%+,-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
