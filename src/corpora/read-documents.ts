/**
 * @file A corpus of the user → documents: a file, a folder, or a dataset on the hub, each followed by `#field` to name
 * the field that holds the text.
 */

import { exists } from "../folders.ts";
import { parseHubDatasetId } from "../checkpoint/hub/id.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import { type ChatTemplate, compileChatTemplate, type RenderChat } from "./chat-template.ts";
import { type CorpusFormat, findCorpusFiles, formatOf, hasFileExtension, shortList } from "./corpus-files.ts";
import { CorpusStamps, type ReadingJob } from "./corpus-stamps.ts";
import type { SourceReport, TextDocument } from "./corpus.ts";
import { fetchHubDataset, parseDatasetSpec } from "./hub-dataset.ts";
import { readCsvRows } from "./read-csv.ts";
import { readJsonlRows } from "./read-jsonl.ts";
import { readJsonRows } from "./read-json.ts";
import { readParquetRows } from "./read-parquet.ts";
import { readText } from "./read-text.ts";
import { chooseReader, type RowReader, unknownFields } from "./row-texts.ts";
import { RowCounter, type Rows } from "./rows.ts";

/** Readers of files with rows. */
const ROW_READERS: Readonly<Record<Exclude<CorpusFormat, "text">, (path: string, field: string | null) => Rows>> = {
  jsonl: readJsonlRows,
  json: readJsonRows,
  csv: readCsvRows,
  parquet: readParquetRows,
};

/** How documents are read. */
export interface ReadOptions extends ReadingJob {
  /** The model's chat template, which turns chats into texts; null if it has none. */
  readonly chatTemplate: ChatTemplate | null;
  /** Receives what was read, at the end. */
  readonly onReport?: (report: SourceReport) => void;
}

/** The files of a corpus. */
interface Located {
  readonly files: readonly string[];
  readonly field: string | null;
  readonly isFolder: boolean;
  readonly notes: readonly string[];
  /** Entries of the folder that cannot be read, each with the reason. */
  readonly passedOver: readonly string[];
}

/**
 * Reads the documents of a file, of all corpus files in a folder and its subfolders, sorted by name, or of a dataset on
 * the hub. Rows without a text are skipped, and so are single rows that cannot be used (`MAX_UNUSABLE_SHARE`).
 * @param spec a path or a dataset's name, followed by `#field` if the text is not in one of the fields that
 * `chooseReader` knows. What exists as a path is one.
 * @throws CusprunError `CORPUS_EMPTY` if there is no document; `CORPUS_FIELD`, `CORPUS_CHAT`, `CHAT_TEMPLATE_MISSING`
 * for rows of another form; `CHAT_TEMPLATE`; `CORPUS_CHANGED`; and what `findCorpusFiles`, `fetchHubDataset` and the
 * readers throw.
 */
export async function* readDocuments(spec: string, options: ReadOptions = { chatTemplate: null }): AsyncGenerator<TextDocument> {
  const { files, field, isFolder, notes, passedOver } = await locate(spec, options);
  const tally: Tally = {
    documents: 0,
    withoutText: 0,
    unusable: 0,
    fields: new Set(),
    notes: [...notes],
    passedOver: [...passedOver],
  };
  const { stamps = new CorpusStamps() } = options;
  await stamps.check(spec, files);
  try {
    for (const file of files) {
      const before = tally.documents;
      try {
        for await (const document of readFile(file, field, isFolder, options, tally)) {
          tally.documents++;
          yield document;
        }
      } catch (error) {
        if (!isFolder || tally.documents > before || !isOtherFile(file, error)) throw error;
        tally.passedOver.push(`${file}: ${error.parts.found}`);
      }
    }
  } finally {
    // Also after an error, which a change may have caused, and when the reader has had enough.
    await stamps.check(spec, files);
  }
  const { documents, withoutText, unusable, fields } = tally;
  if (documents === 0) throw empty(spec, withoutText, isFolder ? (tally.passedOver.length > 0 ? tally.passedOver : files) : []);
  const others = tally.passedOver.length === 0 ? [] : [`passed over what cannot be read: ${shortList(tally.passedOver)}`];
  options.onReport?.({ spec, documents, withoutText, unusable, fields: [...fields], notes: [...tally.notes, ...others] });
}

/** Finds the files. If a path with `#` in it exists, the `#` belongs to the path. */
async function locate(spec: string, options: JobOptions): Promise<Located> {
  const mark = (await exists(spec)) ? -1 : spec.lastIndexOf("#");
  const path = mark === -1 ? spec : spec.slice(0, mark);
  const field = mark === -1 ? null : spec.slice(mark + 1);
  const dataset = (await exists(path)) ? null : await parseDatasetSpec(path);
  if (dataset !== null) return { ...(await fetchHubDataset(dataset, options)), field, isFolder: true, passedOver: [] };
  const { files, isFolder, passedOver } = await findCorpusFiles(path).catch((error: unknown) => {
    throw parseHubDatasetId(path) === null || hasFileExtension(path) ? error : withDatasetHint(error, path);
  });
  return { files, field, isFolder, notes: [], passedOver };
}

/** What looks like a dataset's name was taken for a path, for example because a folder of the owner's name exists. */
function withDatasetHint(error: unknown, path: string): unknown {
  if (!(error instanceof CusprunError) || error.code !== "CORPUS_NOT_FOUND") return error;
  const remedy = `Check the path; a dataset on the hub is hf://datasets/${path}`;
  return new CusprunError(error.code, { ...error.parts, remedy }, { cause: error });
}

interface Tally {
  documents: number;
  withoutText: number;
  unusable: number;
  readonly fields: Set<string>;
  readonly notes: string[];
  readonly passedOver: string[];
}

/**
 * Whether a file of a folder cannot be read, or is no corpus at all: many folders hold a JSON file of settings, or a
 * table of numbers.
 */
function isOtherFile(path: string, error: unknown): error is CusprunError {
  if (!(error instanceof CusprunError)) return false;
  if (error.code === "CORPUS_NOT_FOUND") return true;
  const format = formatOf(path);
  return (
    (format === "json" || format === "csv") &&
    ["CORPUS_FIELD", "CORPUS_JSON", "CORPUS_CSV", "CORPUS_ENCODING"].includes(error.code)
  );
}

async function* readFile(
  path: string,
  field: string | null,
  isFolder: boolean,
  options: ReadOptions,
  tally: Tally,
): AsyncGenerator<TextDocument> {
  const format = formatOf(path);
  if (format === null) throw new RangeError(`${path} is no corpus file`);
  if (format !== "text") yield* readRows(ROW_READERS[format](path, field), path, field, options, tally);
  // In a folder, the field is that of the files that have fields.
  else if (field === null || isFolder) yield* readText(path);
  else throw hasNoFields(path, field);
}

async function* readRows(
  rows: Rows,
  path: string,
  field: string | null,
  { chatTemplate, signal }: ReadOptions,
  tally: Tally,
): AsyncGenerator<TextDocument> {
  const counter = new RowCounter(path);
  let reader: RowReader | null = null;
  let render: RenderChat | null = null;
  for await (const row of rows) {
    signal?.throwIfAborted();
    counter.count();
    if ("error" in row) {
      counter.skip(row.error);
      continue;
    }
    reader ??= chooseReader(row, field, path, chatTemplate !== null);
    const found = reader?.read(row) ?? { kind: "unusable" as const, error: unknownFields(row, field, path) };
    if (found.kind === "text") yield { text: found.text, source: row.source };
    else if (found.kind === "none") tally.withoutText++;
    else if (found.kind === "unusable") counter.skip(found.error);
    else {
      if (chatTemplate === null) throw noTemplate(row.source, reader?.fields ?? "", path);
      render ??= compileChatTemplate(chatTemplate);
      const chat = render(found.messages, found.tools);
      if ("text" in chat) yield { text: chat.text, source: row.source, isRendered: true };
      else counter.skip(refusedChat(row.source, chat.refusal, reader?.fields ?? "", path));
    }
  }
  counter.check();
  tally.unusable += counter.unusable;
  if (counter.first !== null) {
    const { where, found } = counter.first.parts;
    tally.notes.push(`skipped ${counter.unusable} that cannot be used, the first ${where}: ${found}`);
  }
  if (reader !== null) tally.fields.add(render === null ? reader.fields : `${reader.fields} (chat template)`);
}

function noTemplate(where: string, fields: string, path: string): CusprunError {
  return new CusprunError("CHAT_TEMPLATE_MISSING", {
    where,
    found: `a chat in '${fields}', and a model without a chat template`,
    expected: "a model that has one, or plain text",
    remedy:
      "Use the model's instruct version, put its chat_template.jinja into the model's folder, " +
      `or read the contents alone: ${contentSpec(path, fields)}`,
  });
}

function refusedChat(where: string, refusal: string, fields: string, path: string): CusprunError {
  return new CusprunError("CORPUS_CHAT", {
    where,
    found: `a chat that the model's chat template refuses (${refusal})`,
    expected: "a chat that the model knows",
    remedy: `Change or remove such chats, or read the contents alone: ${contentSpec(path, fields)}`,
  });
}

/** The spec that reads the contents of a chat without roles and special tokens. */
function contentSpec(path: string, fields: string): string {
  const [field = ""] = fields.split(" + ").slice(-1);
  const inside = field.startsWith("conversation") ? "value" : "content";
  return fields.includes(" + ") ? `${path}#${field}` : `${path}#${field}.${inside}`;
}

function hasNoFields(path: string, field: string): CusprunError {
  return new CusprunError("CORPUS_FORMAT", {
    where: path,
    found: `the field '${field}'`,
    expected: "no field, since plain text has none",
    remedy: "Remove the # and the field after it",
  });
}

function empty(spec: string, withoutText: number, files: readonly string[]): CusprunError {
  const where = withoutText === 0 ? "no document" : `${withoutText} rows, none with a text`;
  return new CusprunError("CORPUS_EMPTY", {
    where: spec,
    found: `${where}${files.length === 0 ? "" : ` in ${shortList(files)}`}`,
    expected: "at least one document",
    remedy: "Pass a file that contains text",
  });
}
