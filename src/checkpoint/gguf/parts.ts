/**
 * @file A GGUF model in one file or in several parts, opened by any of them.
 * Source: llama.cpp, `llama_model_loader` and `llama_split_path` (`{prefix}-{number}-of-{count}.gguf`; only the first
 * part has the keys of the model).
 */

import type { FileHandle } from "node:fs/promises";
import { basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { CusprunError } from "../../errors.ts";
import { openRegularFile } from "../../regular-files.ts";
import { systemCodeOf } from "../../system-errors.ts";
import { stampOf } from "../../file-stamp.ts";
import { GgufFields } from "./fields.ts";
import { type GgufHeader, readGgufHeader } from "./header.ts";
import type { GgufTensor } from "./layout.ts";
import type { GgufMetadata } from "./values.ts";

/** An open file of a model. */
export interface GgufPart {
  readonly path: string;
  readonly file: FileHandle;
  /** See `stampOf`. */
  readonly stamp: string;
  readonly header: GgufHeader;
}

/** The open files of a model, at least one. */
export interface GgufParts {
  readonly parts: readonly GgufPart[];
  /** The model's keys, without those that describe the split. */
  readonly metadata: GgufMetadata;
  /** Tensors of all parts by GGUF's name. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

const PART_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
/** Keys of a part about the split. */
const SPLIT_KEY = /^split\./;
/** Limit of the number of open files; the largest published models have about 60 parts. */
const MAX_PARTS = 512;

/** The name that all parts of a model share, and their number; null for a file that is not named as a part. */
function parsePartName(path: string): { readonly prefix: string; readonly count: number } | null {
  const [, prefix, , count] = PART_NAME.exec(basename(path)) ?? [];
  return prefix === undefined ? null : { prefix, count: Number(count) };
}

/** One GGUF file of each model in a folder, sorted: of a model in several parts, the first part that is there. */
export function ggufModels(names: readonly string[]): string[] {
  const first = new Map<string, string>();
  for (const name of names.filter((entry) => entry.endsWith(".gguf")).toSorted()) {
    const part = parsePartName(name);
    const key = part === null ? name : `${part.prefix}/${part.count}`;
    if (!first.has(key)) first.set(key, name);
  }
  return [...first.values()];
}

/** Paths of all files of a GGUF model: of its parts if it is named as one, otherwise its own. */
export function partPaths(path: string): string[] {
  const named = parsePartName(path);
  if (named === null || named.count < 2 || named.count > MAX_PARTS) return [path];
  const digits = (value: number): string => String(value).padStart(5, "0");
  const start = path.slice(0, path.length - basename(path).length);
  return Array.from({ length: named.count }, (_, i) => `${start}${named.prefix}-${digits(i + 1)}-of-${digits(named.count)}.gguf`);
}

/**
 * Opens all files of a model and checks that they belong together. The caller closes them.
 * @param path the file, or any part.
 * @throws CusprunError `MODEL_FILE_MISSING`, `GGUF_SPLIT`, `GGUF_DUPLICATE_TENSOR`, and those of `readGgufHeader`.
 */
export async function openGgufParts(path: string): Promise<GgufParts> {
  const parts: GgufPart[] = [await openPart(path)];
  try {
    const [given] = parts as [GgufPart];
    const count = new GgufFields(given.header.metadata, path).optionalInteger("split.count") ?? 0;
    if (count > 1) {
      const paths = pathsOfParts(path, count);
      for (const other of paths) if (other !== path) parts.push(await openOtherPart(other, path, count));
      parts.sort((a, b) => (a.path < b.path ? -1 : 1));
    }
    return joinParts(parts, count);
  } catch (error) {
    await closeParts(parts);
    throw error;
  }
}

/** Closes all files. */
export async function closeParts(parts: readonly GgufPart[]): Promise<void> {
  await Promise.all(parts.map(({ file }) => file.close()));
}

async function openPart(path: string): Promise<GgufPart> {
  const file = await openRegularFile(path, "MODEL_FILE_MISSING", "a readable GGUF file");
  try {
    const stamp = await stampOf(file);
    return { path, file, stamp, header: await readGgufHeader(file, path) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openOtherPart(path: string, given: string, count: number): Promise<GgufPart> {
  try {
    return await openPart(path);
  } catch (error) {
    if (!(error instanceof CusprunError) || systemCodeOf(error.cause) !== "ENOENT") throw error;
    const remedy = "Download all parts into one folder, with their original names";
    const expected = `all ${count} parts of ${basename(given)}`;
    throw new CusprunError("GGUF_SPLIT", { where: path, found: "no such file", expected, remedy }, { cause: error });
  }
}

function pathsOfParts(path: string, count: number): string[] {
  const named = parsePartName(path);
  if (named?.count === count && count <= MAX_PARTS) return partPaths(path);
  throw new CusprunError("GGUF_SPLIT", {
    where: path,
    found: `one of ${count} parts, under the name ${basename(path)}`,
    expected: `a name that ends in -00001-of-${String(count).padStart(5, "0")}.gguf, and at most ${MAX_PARTS} parts`,
    remedy: "Give the parts their original names, or join them with llama-gguf-split --merge",
  });
}

function joinParts(parts: readonly GgufPart[], count: number): GgufParts {
  const [first] = parts as [GgufPart];
  const tensors = new Map<string, GgufTensor>();
  for (const [i, part] of parts.entries()) {
    if (count > 1) checkPart(part, i, count, first);
    for (const [name, tensor] of part.header.tensors) {
      if (tensors.has(name)) {
        throw new CusprunError("GGUF_DUPLICATE_TENSOR", {
          where: `${part.path}: tensor '${name}'`,
          found: "a tensor that another part has too",
          expected: "each tensor in one part",
          remedy: OTHER_MODEL,
        });
      }
      tensors.set(name, tensor);
    }
  }
  const expected = new GgufFields(first.header.metadata, first.path).optionalInteger("split.tensors.count");
  if (count > 1 && expected !== undefined && expected !== tensors.size) {
    throw split(first, "split.tensors.count", `${expected}, but ${tensors.size} tensors in ${count} parts`, "all tensors");
  }
  const metadata = new Map([...first.header.metadata].filter(([key]) => !SPLIT_KEY.test(key)));
  return { parts, metadata, tensors };
}

const OTHER_MODEL = "The parts belong to different models or versions: download all of them again into an empty folder";

/** Checks a part's number, and its keys against those of the first part. */
function checkPart(part: GgufPart, index: number, count: number, first: GgufPart): void {
  const { metadata } = part.header;
  const fields = new GgufFields(metadata, part.path);
  const found = fields.optionalInteger("split.count");
  if (found !== count) throw split(part, "split.count", String(found ?? "no such key"), `${count}, as in the other parts`);
  const number = fields.optionalInteger("split.no");
  if (number !== index) throw split(part, "split.no", String(number ?? "no such key"), `${index}, as in the file's name`);
  for (const [key, value] of metadata) {
    if (key === "split.no" || !first.header.metadata.has(key)) continue;
    if (!isDeepStrictEqual(first.header.metadata.get(key), value)) {
      throw split(part, key, "another value than in the first part", "parts of one model");
    }
  }
}

function split({ path }: GgufPart, key: string, found: string, expected: string): CusprunError {
  return new CusprunError("GGUF_SPLIT", { where: `${path}: key '${key}'`, found, expected, remedy: OTHER_MODEL });
}
