/**
 * @file A path from the user → documents, read according to the file extension. `file.jsonl#field` and
 * `file.parquet#column` name the field that holds the text; a folder means all corpus files in it.
 */

import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { CusprunError } from "../errors.ts";
import type { TextDocument } from "./corpus.ts";
import { readJsonl } from "./read-jsonl.ts";
import { readParquet } from "./read-parquet.ts";
import { readText } from "./read-text.ts";

type Reader = (path: string, field?: string) => AsyncGenerator<TextDocument>;

/** Readers by file extension. Plain text has no fields. */
const READERS: Readonly<Record<string, { readonly read: Reader; readonly hasFields: boolean }>> = {
  ".jsonl": { read: readJsonl, hasFields: true },
  ".ndjson": { read: readJsonl, hasFields: true },
  ".parquet": { read: readParquet, hasFields: true },
  ".txt": { read: readText, hasFields: false },
  ".md": { read: readText, hasFields: false },
};

/** Extensions of corpus files. */
export const CORPUS_EXTENSIONS: readonly string[] = Object.keys(READERS);

/** Maximum number of files in a folder; more indicate a mistake, such as a home folder. */
const MAX_FILES = 10_000;

/**
 * Reads the documents of a file, or of all corpus files in a folder and its subfolders, sorted by name.
 * @param spec a path, followed by `#field` if the text is not in the field `text`.
 * @throws CusprunError `CORPUS_NOT_FOUND`; `CORPUS_FORMAT` for an unknown extension, or a field of a file without
 * fields; `CORPUS_EMPTY` if there is no document; and what the readers throw.
 */
export async function* readDocuments(spec: string): AsyncGenerator<TextDocument> {
  const { path, field, isFolder } = await resolveSpec(spec);
  let count = 0;
  for (const file of isFolder ? await listFiles(path) : [path]) {
    const { read, hasFields } = findReader(file);
    if (field !== undefined && !hasFields && !isFolder) throw hasNoFields(file, field);
    for await (const document of read(file, hasFields ? field : undefined)) {
      count++;
      yield document;
    }
  }
  if (count > 0) return;
  throw new CusprunError("CORPUS_EMPTY", {
    where: path,
    found: isFolder ? `no document in any ${CORPUS_EXTENSIONS.join(", ")} file` : "no document",
    expected: "at least one document",
    remedy: "Pass a file that contains text",
  });
}

/** Splits the path from the field. If a file with `#` in its name exists, the `#` belongs to the path. */
async function resolveSpec(spec: string): Promise<{ path: string; field: string | undefined; isFolder: boolean }> {
  const whole = await stat(spec).catch(() => null);
  if (whole !== null) return { path: spec, field: undefined, isFolder: whole.isDirectory() };
  const mark = spec.lastIndexOf("#");
  const path = mark === -1 ? spec : spec.slice(0, mark);
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if (!(found instanceof Error)) return { path, field: spec.slice(mark + 1), isFolder: found.isDirectory() };
  throw new CusprunError(
    "CORPUS_NOT_FOUND",
    {
      where: path,
      found: `nothing readable (${found.code ?? found.message})`,
      expected: "a text file or folder",
      remedy: "Check the path",
    },
    { cause: found },
  );
}

async function listFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => READERS[extname(name).toLowerCase()] !== undefined);
  const files = names.map((name) => join(folder, name)).toSorted();
  if (files.length <= MAX_FILES) return files;
  throw new CusprunError("CORPUS_TOO_LARGE", {
    where: folder,
    found: `${files.length} corpus files`,
    expected: `at most ${MAX_FILES}`,
    remedy: "Pass a smaller folder, or merge the files",
  });
}

function findReader(path: string): { readonly read: Reader; readonly hasFields: boolean } {
  const extension = extname(path).toLowerCase();
  const reader = READERS[extension];
  if (reader !== undefined) return reader;
  throw new CusprunError("CORPUS_FORMAT", {
    where: path,
    found: extension === "" ? "no extension" : `the extension '${extension}'`,
    expected: `one of ${CORPUS_EXTENSIONS.join(", ")}`,
    remedy: "Convert the file, or rename it if it has one of these formats",
  });
}

function hasNoFields(path: string, field: string): CusprunError {
  return new CusprunError("CORPUS_FORMAT", {
    where: path,
    found: `the field '${field}'`,
    expected: "no field, since plain text has none",
    remedy: "Remove the # and the field after it",
  });
}
