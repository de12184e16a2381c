/**
 * @file A path from the user → the files to read: the file itself, or all corpus files in a folder and its subfolders.
 */

import type { Dirent } from "node:fs";
import { access, constants, readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { CusprunError } from "../errors.ts";
import { shellPath } from "../shell.ts";
import { asReadError, describeSystemCode, systemCodeOf } from "../system-errors.ts";
import { COMPRESSED_EXTENSIONS } from "./read-bytes.ts";

/** How a file is read: row by row, or as plain text. */
export type CorpusFormat = "jsonl" | "json" | "csv" | "parquet" | "text";

/** Formats by file extension. */
const FORMATS: Readonly<Record<string, CorpusFormat>> = {
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".json": "json",
  ".csv": "csv",
  ".tsv": "csv",
  ".parquet": "parquet",
  ".txt": "text",
  ".md": "text",
};

/** What to do about files that people have and that are not read. */
const REMEDIES: Readonly<Record<string, string>> = {
  ".bz2": "Decompress it: bunzip2 FILE",
  ".xz": "Decompress it: unxz FILE",
  ".zip": "Unpack it, and pass the folder with its files: unzip FILE -d FOLDER",
  ".tar": "Unpack it, and pass the folder with its files: tar xf FILE",
  ".tgz": "Unpack it, and pass the folder with its files: tar xzf FILE",
  ".7z": "Unpack it, and pass the folder with its files: 7z x FILE",
  ".gz": "If it holds text or a table, name it so, e.g. corpus.txt.gz or corpus.jsonl.gz",
  ".zst": "If it holds text or a table, name it so, e.g. corpus.txt.zst or corpus.jsonl.zst",
  ".docx": "Save it as plain text, or: pandoc FILE -t plain -o FILE.txt",
  ".odt": "Save it as plain text, or: pandoc FILE -t plain -o FILE.txt",
  ".epub": "Convert it to plain text: pandoc FILE -t plain -o FILE.txt",
  ".html": "Convert it to plain text: pandoc FILE -t plain -o FILE.txt",
  ".htm": "Convert it to plain text: pandoc FILE -t plain -o FILE.txt",
  ".pdf": "Convert it to plain text: pdftotext FILE FILE.txt",
  ".arrow": "Write it as Parquet: Dataset.from_file('FILE').to_parquet('FILE.parquet') with the Python package datasets",
  ".xlsx": "Save the sheet as CSV (UTF-8)",
  ".yaml": "Write the documents as JSON Lines",
  ".xml": "Write the documents as JSON Lines, or as plain text",
};

/** Extensions of corpus files, without those of compressed ones. */
export const CORPUS_EXTENSIONS: readonly string[] = Object.keys(FORMATS);

/** Maximum number of files in a folder; more indicate a mistake, such as a home folder. */
const MAX_FILES = 10_000;
/** Entries of a folder that a message names. */
const NAMED_ENTRIES = 3;

/** The files that a path stands for. */
export interface CorpusFiles {
  readonly isFolder: boolean;
  /** Sorted. */
  readonly files: readonly string[];
  /** Entries of the folder that cannot be read, each with the reason. */
  readonly passedOver: readonly string[];
}

/** The format of a file by its extension; null if it is none of a corpus. */
export function formatOf(path: string): CorpusFormat | null {
  const extension = extname(path).toLowerCase();
  if (!COMPRESSED_EXTENSIONS.includes(extension)) return FORMATS[extension] ?? null;
  const inner = FORMATS[extname(path.slice(0, -extension.length)).toLowerCase()] ?? null;
  // A Parquet file is read from its end, and compressed by itself.
  return inner === "parquet" ? null : inner;
}

/** Whether a path ends like the name of a file that people pass as a corpus, read or not. */
export function hasFileExtension(path: string): boolean {
  const extension = extname(path).toLowerCase();
  return formatOf(path) !== null || REMEDIES[extension] !== undefined;
}

/**
 * Lists the files that a path stands for.
 * @throws CusprunError `CORPUS_NOT_FOUND`; `CORPUS_FORMAT` for a file with another extension; `CORPUS_EMPTY` for a
 * folder without corpus files; `CORPUS_TOO_LARGE` for a folder of more than `MAX_FILES`.
 */
export async function findCorpusFiles(path: string): Promise<CorpusFiles> {
  const found = await stat(path).catch((error: unknown) => {
    throw asReadError(error, "CORPUS_NOT_FOUND", path, "a corpus file or folder");
  });
  if (!found.isDirectory()) {
    if (formatOf(path) === null) throw unknownFormat(path);
    return { isFolder: false, files: [path], passedOver: [] };
  }
  const listing = new Listing();
  await listing.add(path);
  if (listing.files.length > 0) return { isFolder: true, files: listing.files.toSorted(), passedOver: listing.passedOver };
  throw listing.describeEmpty(path);
}

/**
 * The corpus files of a folder; what cannot be read is noted. Links to folders are not followed: they may lead in
 * circles.
 */
class Listing {
  readonly files: string[] = [];
  readonly passedOver: string[] = [];
  readonly #others: string[] = [];

  async add(folder: string): Promise<void> {
    let entries: Dirent[];
    try {
      entries = await readdir(folder, { withFileTypes: true });
    } catch (error) {
      this.#passOver(folder, error);
      return;
    }
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) await this.add(path);
      else await this.#addFile(path);
    }
  }

  /** The error for a folder without corpus files, which says what there is instead. */
  describeEmpty(folder: string): CusprunError {
    if (this.passedOver.length > 0) {
      return new CusprunError("CORPUS_NOT_FOUND", {
        where: folder,
        found: `nothing that can be read: ${shortList(this.passedOver)}`,
        expected: "at least one corpus file",
        remedy: "Check the links and permissions",
      });
    }
    const found =
      this.#others.length === 0 ? "no file" : `${this.#others.length} files of other kinds (${shortList(this.#others)})`;
    const withoutExtension = this.#others.find((path) => extname(path) === "");
    return new CusprunError("CORPUS_EMPTY", {
      where: folder,
      found,
      expected: `files named ${CORPUS_EXTENSIONS.join(", ")}, or compressed ones such as .jsonl.gz`,
      remedy:
        withoutExtension === undefined
          ? "Pass a folder that contains such files"
          : `If they are plain text, give them the extension .txt: for f in ${shellPath(folder)}/*; do mv "$f" "$f.txt"; done`,
    });
  }

  async #addFile(path: string): Promise<void> {
    if (formatOf(path) === null) {
      this.#others.push(path);
      return;
    }
    try {
      // Not the entry's own type: a link may lead to a file, to a folder, to a pipe or nowhere.
      const found = await stat(path);
      if (!found.isFile()) {
        this.passedOver.push(`${path}: not a regular file`);
        return;
      }
      await access(path, constants.R_OK);
      this.files.push(path);
    } catch (error) {
      this.#passOver(path, error);
      return;
    }
    if (this.files.length <= MAX_FILES) return;
    throw new CusprunError("CORPUS_TOO_LARGE", {
      where: path,
      found: `more than ${MAX_FILES} corpus files in the folder`,
      expected: `at most ${MAX_FILES}`,
      remedy: "Pass a smaller folder, or merge the files",
    });
  }

  #passOver(path: string, error: unknown): void {
    const code = systemCodeOf(error);
    if (code === null) throw error;
    this.passedOver.push(`${path}: ${describeSystemCode(code)}`);
  }
}

/** The first few entries, and how many there are besides. */
export function shortList(entries: readonly string[]): string {
  const more = entries.length - NAMED_ENTRIES;
  return `${entries.slice(0, NAMED_ENTRIES).join(", ")}${more > 0 ? `, and ${more} more` : ""}`;
}

function unknownFormat(path: string): CusprunError {
  const extension = extname(path).toLowerCase();
  const remedy = path.toLowerCase().includes(".tar.")
    ? "Unpack it, and pass the folder with its files: tar xf FILE"
    : path.toLowerCase().endsWith(`.parquet${extension}`)
      ? "Decompress it; a Parquet file is compressed by itself"
      : REMEDIES[extension];
  return new CusprunError("CORPUS_FORMAT", {
    where: path,
    found: extension === "" ? "no extension" : `the extension '${extension}'`,
    expected: `one of ${CORPUS_EXTENSIONS.join(", ")}, also compressed (${COMPRESSED_EXTENSIONS.join(", ")})`,
    remedy: (remedy ?? "Convert the file, or rename it if it has one of these formats, e.g. to FILE.txt").replaceAll("FILE", () =>
      shellPath(path),
    ),
  });
}
