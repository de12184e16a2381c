/**
 * @file A path, as the user gives it → documents, by the file's extension. `file.jsonl#field` and `file.parquet#column` name the field
 * that holds the text; a folder stands for every corpus file under it.
 */

import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { CusprunError } from "../errors.ts";
import type { TextDocument } from "./corpus.ts";
import { readJsonl } from "./read-jsonl.ts";
import { readParquet } from "./read-parquet.ts";
import { readText } from "./read-text.ts";

type Reader = (path: string, field?: string) => AsyncGenerator<TextDocument>;

/** Readers by extension. Plain text has no fields. */
const READERS: Readonly<Record<string, { readonly read: Reader; readonly hasFields: boolean }>> = {
  ".jsonl": { read: readJsonl, hasFields: true },
  ".ndjson": { read: readJsonl, hasFields: true },
  ".parquet": { read: readParquet, hasFields: true },
  ".txt": { read: readText, hasFields: false },
  ".md": { read: readText, hasFields: false },
};

/** Extensions of the files that can be read. */
export const CORPUS_EXTENSIONS: readonly string[] = Object.keys(READERS);

/** Most files of a folder; more are a mistake, such as a home folder. */
const MAX_FILES = 10_000;

/**
 * Reads the documents of a file, or of every corpus file of a folder and its subfolders in the order of their names.
 * @param spec a path, with `#field` behind it where the text is not in `text`.
 * @throws CusprunError `CORPUS_NOT_FOUND`; `CORPUS_FORMAT` for an extension that is not known or a field of a file without fields;
 *   `CORPUS_EMPTY` where there is no document; and what the readers throw.
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
    remedy: "Give a file that holds text",
  });
}

/** Parts the path from the field. A file whose name holds `#` wins over a field. */
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
      found: `nothing that can be read (${found.code ?? found.message})`,
      expected: "a file or folder of text",
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
    remedy: "Name a smaller folder, or join the files",
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
    remedy: "Convert the file, or rename it if it holds one of these",
  });
}

function hasNoFields(path: string, field: string): CusprunError {
  return new CusprunError("CORPUS_FORMAT", {
    where: path,
    found: `the field '${field}'`,
    expected: "no field: plain text has none",
    remedy: "Leave out what follows the #",
  });
}
