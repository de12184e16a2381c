/**
 * @file A GGUF file's header: key-value pairs and the positions of the tensors, all checked. GGUF versions 2 and 3,
 * little-endian.
 * Source: the GGUF specification, `docs/gguf.md` of ggml-org/ggml.
 *
 * Why not `@huggingface/gguf` 0.4.6, which also parses headers: it pads a truncated file with zeros and reads on, keeps
 * the last of duplicate keys, checks neither offsets, overlaps nor row lengths, drops U+FEFF from tokens, and throws
 * plain errors.
 */

import type { FileHandle } from "node:fs/promises";
import { GgufCursor } from "./cursor.ts";
import { describeBytes, HEAD_BYTES, recogniseFile } from "../foreign-file.ts";
import { placeTensors } from "./layout.ts";
import type { GgufTensor, GgufTensorEntry } from "./layout.ts";
import { GGUF_NUMBER_FORMATS, GGUF_VALUE_TYPES } from "./values.ts";
import type { GgufArray, GgufMetadata, GgufValue, GgufValueType } from "./values.ts";

export type { GgufTensor } from "./layout.ts";
export type { GgufMetadata, GgufValue } from "./values.ts";

/** The content of a GGUF header. */
export interface GgufHeader {
  readonly version: 2 | 3;
  readonly metadata: GgufMetadata;
  /** Byte range of each key's value in the file, including its type; `endByte` is exclusive. */
  readonly valueRanges: ReadonlyMap<string, { readonly startByte: number; readonly endByte: number }>;
  /** By GGUF name, in the order of the header. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** "GGUF", read as a little-endian uint32. */
const MAGIC = 0x46554747;

/** Minimum bytes of a string: its length. */
const LEAST_STRING_BYTES = 8;

/** Minimum bytes of a key-value pair: length of the key, type, value. */
const LEAST_PAIR_BYTES = 8 + 4 + 1;

/** Minimum bytes of a tensor's entry: length of the name, rank, one size, type, offset. */
const LEAST_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8;

/** `GGML_MAX_DIMS`. */
const MAX_RANK = 4;

/** Characters of a name that error messages show; names come from the file and may be anything. */
const MAX_SHOWN_NAME = 80;

/**
 * Reads and checks the header of a GGUF file.
 * @param path for error messages.
 * @throws CusprunError `GGUF_MAGIC`, `GGUF_BIG_ENDIAN`, `GGUF_VERSION`, `GGUF_TRUNCATED`, `GGUF_HEADER_TOO_LARGE`,
 * `GGUF_COUNT`, `GGUF_STRING`, `GGUF_VALUE`, `GGUF_DUPLICATE_KEY`, `GGUF_ALIGNMENT`, and those of `placeTensors`.
 */
export async function readGgufHeader(file: FileHandle, path: string): Promise<GgufHeader> {
  const { size: fileBytes } = await file.stat();
  const cursor = new GgufCursor(file, path, fileBytes);
  await checkMagic(cursor);
  const version = await readVersion(cursor);
  const tensorCount = await cursor.readCount("tensors", LEAST_TENSOR_BYTES);
  const pairCount = await cursor.readCount("key-value pairs", LEAST_PAIR_BYTES);

  const metadata = new Map<string, GgufValue>();
  const valueRanges = new Map<string, { startByte: number; endByte: number }>();
  for (let i = 0; i < pairCount; i++) {
    cursor.subject = `key ${i + 1} of ${pairCount}`;
    const key = await cursor.readString();
    cursor.subject = `key '${shorten(key)}'`;
    if (metadata.has(key)) {
      throw cursor.error("GGUF_DUPLICATE_KEY", "a duplicate key", "unique keys", "The file is damaged: download it again");
    }
    const startByte = cursor.positionBytes;
    const type = await readValueType(cursor);
    if (key === "general.alignment" && type !== "uint32") {
      throw cursor.error("GGUF_ALIGNMENT", `type ${type}`, "uint32", "Convert the model again: other readers refuse it too");
    }
    metadata.set(key, await readValue(cursor, type));
    valueRanges.set(key, { startByte, endByte: cursor.positionBytes });
  }

  const entries: GgufTensorEntry[] = [];
  for (let i = 0; i < tensorCount; i++) entries.push(await readTensorEntry(cursor, i, tensorCount));
  const tensors = placeTensors(entries, metadata, cursor.positionBytes, fileBytes, path);
  return { version, metadata, valueRanges, tensors };
}

async function checkMagic(cursor: GgufCursor): Promise<void> {
  const head = await cursor.peek(HEAD_BYTES);
  if (head.length >= 4 && (await cursor.readUint32()) === MAGIC) return;
  const { found, remedy } = recogniseFile(head, "gguf") ?? {
    found: describeBytes(head),
    remedy: "Pass a .gguf file, or a folder",
  };
  throw cursor.error("GGUF_MAGIC", found, "a GGUF file, which begins with 'GGUF'", remedy);
}

async function readVersion(cursor: GgufCursor): Promise<2 | 3> {
  const version = await cursor.readUint32();
  if (version === 2 || version === 3) return version;
  // In a big-endian file, the version's only non-zero byte is at the other end.
  if (version !== 0 && (version & 0xffff) === 0) {
    throw cursor.error(
      "GGUF_BIG_ENDIAN",
      "a big-endian file",
      "a little-endian file",
      "Convert it with gguf_convert_endian.py of llama.cpp",
    );
  }
  throw cursor.error(
    "GGUF_VERSION",
    `GGUF version ${version}`,
    "version 2 or 3",
    "Convert the model again with a current llama.cpp",
  );
}

async function readValue(cursor: GgufCursor, type: GgufValueType): Promise<GgufValue> {
  if (type === "string") return await cursor.readString();
  if (type === "bool") return toBoolean(cursor, Number(await cursor.readNumber("uint8")));
  return type === "array" ? await readArray(cursor) : await cursor.readNumber(type);
}

async function readArray(cursor: GgufCursor): Promise<GgufArray> {
  const type = await readValueType(cursor);
  if (type === "array") {
    const expected = "an array of numbers, booleans or strings";
    throw cursor.error(
      "GGUF_VALUE",
      "an array of arrays",
      expected,
      "Convert the model again: llama.cpp does not read it either",
    );
  }
  if (type === "string") return await cursor.readStrings(await cursor.readCount("strings", LEAST_STRING_BYTES));
  if (type !== "bool") return await cursor.readNumbers(type, await cursor.readCount("numbers", GGUF_NUMBER_FORMATS[type].bytes));
  const booleans: boolean[] = [];
  for (const byte of await cursor.readNumbers("uint8", await cursor.readCount("booleans", 1))) {
    booleans.push(toBoolean(cursor, Number(byte)));
  }
  return booleans;
}

async function readValueType(cursor: GgufCursor): Promise<GgufValueType> {
  const typeId = await cursor.readUint32();
  const type = GGUF_VALUE_TYPES[typeId];
  if (type !== undefined) return type;
  throw cursor.error(
    "GGUF_VALUE",
    `value type ${typeId}`,
    `a type from 0 to ${GGUF_VALUE_TYPES.length - 1}`,
    "The file is damaged: download it again",
  );
}

function toBoolean(cursor: GgufCursor, byte: number): boolean {
  if (byte === 0 || byte === 1) return byte === 1;
  throw cursor.error("GGUF_VALUE", `byte ${byte} for a boolean`, "0 or 1", "The file is damaged: download it again");
}

async function readTensorEntry(cursor: GgufCursor, index: number, count: number): Promise<GgufTensorEntry> {
  cursor.subject = `tensor ${index + 1} of ${count}`;
  const name = await cursor.readString();
  cursor.subject = `tensor '${shorten(name)}'`;
  const rank = await cursor.readUint32();
  if (rank < 1 || rank > MAX_RANK) {
    throw cursor.error("GGUF_DIMENSIONS", `${rank} dimensions`, `1 to ${MAX_RANK}`, "The file is damaged: download it again");
  }
  const sizes: (number | bigint)[] = [];
  for (let i = 0; i < rank; i++) sizes.push(await cursor.readNumber("uint64"));
  return { name, sizes, typeId: await cursor.readUint32(), offset: await cursor.readNumber("uint64") };
}

function shorten(name: string): string {
  return name.length <= MAX_SHOWN_NAME ? name : `${name.slice(0, MAX_SHOWN_NAME)}…`;
}
