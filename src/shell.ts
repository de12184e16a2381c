/**
 * @file Words of commands that a user copies into a POSIX shell.
 */

/** Quotes a word, unless it means itself. Nothing is special inside single quotes, except their end. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Quotes a path; one that starts with a dash would be read as an option. */
export function shellPath(path: string): string {
  return shellWord(path.startsWith("-") ? `./${path}` : path);
}
