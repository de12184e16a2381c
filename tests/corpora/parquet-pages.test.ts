/**
 * @file Pages of a Parquet column: made byte by byte after the format's specification, with counts and lengths that
 * would fill the memory or never end.
 */

import { expect, test } from "vitest";
import { readStringPages, type StringChunk } from "../../src/corpora/parquet-pages.ts";

const PLAIN = 0;
const DELTA_BYTE_ARRAY = 7;
const RLE_DICTIONARY = 8;

/** Unsigned LEB128. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

/** A field of a struct in Thrift's compact protocol, which follows the field before it. */
const integer = (value: number): number[] => [0x15, ...varint(value >= 0 ? 2 * value : -2 * value - 1)];
const struct = (step: number, ...fields: number[][]): number[] => [(step << 4) | 0x0c, ...fields.flat(), 0];

function uint32(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];
}

/** A data page of version 1. */
function dataPage(values: number, encoding: number, body: readonly number[], claimedBytes: number = body.length): number[] {
  const header = struct(2, integer(values), integer(encoding), integer(3), integer(3));
  return [...integer(0), ...integer(claimedBytes), ...integer(body.length), ...header, 0, ...body];
}

function dictionaryPage(words: readonly string[], claimedCount: number = words.length): number[] {
  const body = words.flatMap(text);
  const header = struct(4, integer(claimedCount), integer(PLAIN));
  return [...integer(2), ...integer(body.length), ...integer(body.length), ...header, 0, ...body];
}

function text(word: string): number[] {
  const bytes = [...Buffer.from(word)];
  return [...uint32(bytes.length), ...bytes];
}

/** DELTA_BINARY_PACKED: the first value, then blocks of 128 differences that are all alike. */
function deltas(count: number, first: number, difference = 0): number[] {
  const zigzag = (value: number): number[] => varint(value >= 0 ? 2 * value : -2 * value - 1);
  return [...varint(128), 1, ...varint(count), ...zigzag(first), ...zigzag(difference), 0];
}

async function read(pages: readonly number[], rows: number, isOptional = false): Promise<(string | null)[]> {
  const bytes = Uint8Array.from(pages);
  const file = { byteLength: bytes.length, slice: (start: number, end?: number) => bytes.slice(start, end).buffer };
  const chunk: StringChunk = { start: 0, end: bytes.length, rows, codec: "UNCOMPRESSED", isOptional };
  const values: (string | null)[] = [];
  for await (const page of readStringPages(file, chunk)) values.push(...page);
  return values;
}

test("reads plain values, words of a dictionary, nulls and shared starts", async () => {
  const words = dictionaryPage(["a", "bc"]);
  expect(await read(dataPage(2, PLAIN, [...text("a"), ...text("ü")]), 2)).toEqual(["a", "ü"]);
  // Two bits per index; a run of three times word 1.
  expect(await read([...words, ...dataPage(3, RLE_DICTIONARY, [2, ...varint(6), 1])], 3)).toEqual(["bc", "bc", "bc"]);
  // Levels 1, 0 and 1, bit-packed in a group of eight.
  const levels = [...uint32(2), 3, 0b101];
  expect(await read(dataPage(3, PLAIN, [...levels, ...text("a"), ...text("b")]), 3, true)).toEqual(["a", null, "b"]);
  const shared = [...deltas(2, 0, 1), ...deltas(2, 1), ...Buffer.from("xy")];
  expect(await read(dataPage(2, DELTA_BYTE_ARRAY, shared), 2)).toEqual(["x", "xy"]);
});

const LEVELS_RUN_2_30 = [...uint32(6), ...varint(2 ** 31), 1];
const PACKED_RUN_2_29 = [...uint32(6), ...varint(2 ** 30 + 1), 1];

test.for<[string, readonly number[], boolean, string]>([
  ["a run of a billion levels", dataPage(3, PLAIN, LEVELS_RUN_2_30), true, "the length of a run"],
  ["a packed run of four billion levels", dataPage(3, PLAIN, PACKED_RUN_2_29), true, "the length of a run"],
  ["levels longer than the page", dataPage(3, PLAIN, uint32(2 ** 31)), true, "the size of the levels is 2147483648"],
  ["more values than the row group has", dataPage(2 ** 31 - 1, PLAIN, []), false, "the number of values in a page"],
  ["a negative number of values", dataPage(-1, PLAIN, []), false, "the number of values in a page is -1"],
  ["no values, over and over", dataPage(0, PLAIN, []), false, "a page without values"],
  ["a page of 2 GiB", dataPage(3, PLAIN, [0], 2 ** 31 - 1), false, "the size of a page is 2147483647"],
  ["another size than the page has", dataPage(3, PLAIN, [0], 2), false, "a page of 1 bytes where its header says 2"],
  ["a dictionary of a billion words", dictionaryPage(["a"], 2 ** 30), false, "the number of words in a dictionary"],
  ["a word past the dictionary", [...dictionaryPage(["a"]), ...dataPage(3, RLE_DICTIONARY, [1, 6, 1])], false, "the word 1 of"],
  ["indices without a dictionary", dataPage(3, RLE_DICTIONARY, [1, 6, 0]), false, "the word 0 of a dictionary of 0"],
  ["indices of 255 bits", [...dictionaryPage(["a"]), ...dataPage(3, RLE_DICTIONARY, [255, 6, 0])], false, "indices of 255 bits"],
  [
    "a start of 2 GiB that the value before it lacks",
    dataPage(3, DELTA_BYTE_ARRAY, [...deltas(3, 0, 2 ** 30), ...deltas(3, 1), 1, 2, 3]),
    false,
    "the length of a prefix is 1073741824, outside 0 to 1",
  ],
  ["a negative length", dataPage(3, DELTA_BYTE_ARRAY, [...deltas(3, 0), ...deltas(3, -1)]), false, "the length of a value is -1"],
  ["an encoding of numbers", dataPage(3, 5, [0]), false, "the encoding DELTA_BINARY_PACKED of strings"],
  [
    "a block of lengths without an end",
    dataPage(3, DELTA_BYTE_ARRAY, [...varint(128), ...varint(2 ** 32 - 1)]),
    false,
    "of a block is -1",
  ],
  ["a page that ends in its header", dataPage(3, PLAIN, [0]).slice(0, 5), false, "outside the bounds"],
  ["no page at all", [], false, "thrift struct ended"],
])("refuses %s", async ([, pages, isOptional, message]) => {
  await expect(read(pages, 3, isOptional)).rejects.toThrow(message);
});
