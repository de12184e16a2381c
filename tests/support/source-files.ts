/**
 * @file The repository's source files, and the lines in them that are too long.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Characters of a line of code, and of a comment. */
const MAX_CODE_WIDTH = 130;
const MAX_COMMENT_WIDTH = 120;

/** A line that has only a URL cannot be wrapped. */
const URL_ALONE = /^\s*(?:\/\*\*|\*|\/\/|#)?\s*\S*https?:\/\/\S+$/;

/** A source file. */
export interface SourceFile {
  /** Path from the repository's root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** All source files with one of the extensions in a folder of the repository. */
export function readSources(folder: string, extensions: readonly string[]): SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => extensions.some((extension) => name.endsWith(extension)))
    .map((name) => ({
      path: [folder, ...name.split(sep)].join("/"),
      text: readFileSync(join(ROOT, folder, name), "utf8"),
    }));
}

/** Lines of a file. The line break at its end begins no further line. */
export function linesOf({ text }: SourceFile): string[] {
  return text.replace(/\r?\n$/, "").split(/\r?\n/);
}

/** The lines of a file that are too long, as `path:line: width`. A comment line has nothing but a comment. */
export function longLines(file: SourceFile): string[] {
  const marker = file.path.endsWith(".py") ? "#" : "//";
  let isInBlock = false;
  return linesOf(file).flatMap((line, index) => {
    const trimmed = line.trimStart();
    isInBlock ||= marker === "//" && trimmed.startsWith("/*");
    const isComment = isInBlock || trimmed.startsWith(marker);
    if (line.includes("*/")) isInBlock = false;
    const isTooLong = line.length > (isComment ? MAX_COMMENT_WIDTH : MAX_CODE_WIDTH);
    return isTooLong && !URL_ALONE.test(line) ? [`${file.path}:${index + 1}: ${line.length} characters`] : [];
  });
}
