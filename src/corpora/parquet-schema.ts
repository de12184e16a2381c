/**
 * @file The footer of a Parquet file → the columns that can hold text: strings, and lists of strings or of groups of
 * strings, such as the messages of a chat.
 *
 * Format: https://github.com/apache/parquet-format, "Nested Encoding" and `LogicalTypes.md`, "Lists".
 */

import type { FileHandle } from "node:fs/promises";
import { type AsyncBuffer, type FileMetaData, parquetMetadata, parquetSchema } from "hyparquet";
import { withinTime } from "../time-limit.ts";
import { checkCount } from "./parquet-pages.ts";

/** Largest footer, which describes the columns and row groups. Files of terabytes have some megabytes. */
const MAX_FOOTER_BYTES = 64 * 2 ** 20;

/** Magic bytes, at both ends. */
const MAGIC_BYTES = 4;

/** The end of the file: the length of the footer and the magic bytes. */
const TAIL_BYTES = 8;

type SchemaNode = ReturnType<typeof parquetSchema>;

/** A column of strings. */
export interface Leaf {
  /** Names from the top of the schema. */
  readonly path: readonly string[];
  /** The key in a list's item; null for the item or the value itself. */
  readonly key: string | null;
  readonly maxDefinition: number;
  readonly maxRepetition: number;
  /** The definition level from which on a list has an item; 0 outside lists. */
  readonly itemDefinition: number;
  /** The definition level from which on the column itself is not null. */
  readonly columnDefinition: number;
}

/** A top-level column. */
export interface ParquetColumn {
  readonly name: string;
  /** Its strings; empty if it can hold no text. */
  readonly leaves: readonly Leaf[];
  readonly isList: boolean;
  /** For messages, e.g. `INT64`. */
  readonly type: string;
}

/** An opened file. */
export interface ParquetFile {
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly columns: readonly ParquetColumn[];
}

/**
 * Reads the footer of a file, which must stay open.
 * @throws Error if it is damaged, or what the system answers.
 */
export async function openParquet(handle: FileHandle): Promise<ParquetFile> {
  const { size } = await handle.stat();
  const file: AsyncBuffer = { byteLength: size, slice: (start, end = size) => readSlice(handle, start, end) };
  const metadata = await readFooter(file);
  const columns = withinTime(() => parquetSchema(metadata).children.map(describeColumn));
  return { file, metadata, columns };
}

/** The bytes `[start, end)`; fewer if the file has become shorter. */
async function readSlice(handle: FileHandle, start: number, end: number): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(end - start);
  let done = 0;
  while (done < bytes.length) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done === bytes.length ? bytes.buffer : bytes.buffer.slice(0, done);
}

async function readFooter(file: AsyncBuffer): Promise<FileMetaData> {
  const size = file.byteLength;
  if (size < MAGIC_BYTES + TAIL_BYTES) throw new Error(`${size} bytes`);
  const length = new DataView(await file.slice(size - TAIL_BYTES, size)).getUint32(0, true);
  const limit = Math.min(MAX_FOOTER_BYTES, size - MAGIC_BYTES - TAIL_BYTES);
  const footer = await file.slice(size - TAIL_BYTES - checkCount("the length of the footer", length, limit), size);
  return withinTime(() => parquetMetadata(footer, { geoparquet: false }));
}

function describeColumn(node: SchemaNode): ParquetColumn {
  const { name, type, repetition_type } = node.element;
  const repeated = repetition_type === "REPEATED" ? "repeated " : "";
  const described = { name, type: `${repeated}${type ?? "group"}` };
  const columnDefinition = repetition_type === "REQUIRED" ? 0 : 1;
  const levels = { columnDefinition, itemDefinition: 0, maxRepetition: 0 };
  if (isString(node) && repeated === "") {
    return { ...described, leaves: [leafOf(node, null, { ...levels, maxDefinition: columnDefinition })], isList: false };
  }
  // A list is a group with one repeated group, which holds the item.
  const [repeatedNode] = node.children;
  const [item] = repeatedNode?.children ?? [];
  const isList =
    repeated === "" && node.children.length === 1 && repeatedNode?.element.repetition_type === "REPEATED" && item !== undefined;
  if (!isList || repeatedNode.children.length !== 1) return { ...described, leaves: [], isList: false };
  const itemDefinition = columnDefinition + 1;
  const inList = { columnDefinition, itemDefinition, maxRepetition: 1 };
  const ofItem = itemDefinition + definitionOf(item);
  const leaves = isString(item)
    ? [leafOf(item, null, { ...inList, maxDefinition: ofItem })]
    : item.children
        .filter((child) => isString(child) && child.element.repetition_type !== "REPEATED")
        .map((child) => leafOf(child, child.element.name, { ...inList, maxDefinition: ofItem + definitionOf(child) }));
  return { ...described, leaves, isList: true };
}

function leafOf(node: SchemaNode, key: string | null, levels: Omit<Leaf, "path" | "key">): Leaf {
  return { path: node.path, key, ...levels };
}

function definitionOf({ element }: SchemaNode): number {
  return element.repetition_type === "REQUIRED" ? 0 : 1;
}

function isString({ element }: SchemaNode): boolean {
  return element.type === "BYTE_ARRAY" && (element.converted_type === "UTF8" || element.logical_type?.type === "STRING");
}
