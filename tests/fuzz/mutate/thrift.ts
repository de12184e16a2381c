/**
 * @file Mutates Parquet: the numbers, lengths, types and lists in the footer and in page headers, which are in thrift's
 * compact protocol.
 * Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md,
 * https://parquet.apache.org/docs/file-format/
 */

import type { Random } from "../random.ts";
import { NUMBERS } from "../values.ts";
import { mutateBytes, replaced, withNumber } from "./bytes.ts";

/** A place in a structure, `[start, end)`. */
interface Field {
  readonly start: number;
  readonly end: number;
  readonly kind: "varint" | "header" | "bytes" | "double";
}

interface Structure {
  readonly start: number;
  readonly end: number;
  readonly fields: readonly Field[];
}

const MAGIC_BYTES = 4;
const FOOTER_LENGTH_BYTES = 4;
const MAX_SCANNED = 100;
const MAX_PAGES = 64;

const scanned = new Map<Buffer, readonly Structure[]>();

/** A file with a few fields changed. The bytes must be a valid Parquet file. */
export function mutateParquet(bytes: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  if (random.chance(0.15)) return mutateBytes(bytes, random, others);
  const structures = structuresOf(bytes);
  const footer = structures.at(-1)!;
  const edits = Array.from({ length: random.few() }, () => {
    const isFooter = random.chance(0.6);
    return changeField(bytes, random.pick((isFooter ? footer : random.pick(structures)).fields), random);
  });
  let mutated = bytes;
  let start = bytes.length;
  let footerGrowth = 0;
  for (const edit of edits.toSorted((a, b) => b.end - a.end)) {
    if (edit.end > start) continue;
    ({ start } = edit);
    mutated = replaced(mutated, edit.start, edit.end, edit.by);
    if (start >= footer.start) footerGrowth += edit.by.length - (edit.end - edit.start);
  }
  if (random.chance(0.03)) return mutated.subarray(0, random.position(mutated.length));
  if (random.chance(0.03)) return mutated;
  const length = BigInt(footer.end - footer.start + footerGrowth);
  return withNumber(mutated, mutated.length - MAGIC_BYTES - FOOTER_LENGTH_BYTES, FOOTER_LENGTH_BYTES, length);
}

function changeField(bytes: Buffer, { start, end, kind }: Field, random: Random): { start: number; end: number; by: Buffer } {
  switch (kind) {
    case "varint": {
      const old = readVarint(bytes, start).value;
      const near = [old + 1n, old + 2n, old - 1n, old * 2n, old / 2n, old ^ (1n << BigInt(random.below(20))), 0n];
      const value = random.chance(0.5) ? random.pick(near) : random.pick(NUMBERS);
      return { start, end, by: varint(BigInt.asUintN(64, value)) };
    }
    case "header":
      return { start, end, by: Buffer.from([random.chance(0.5) ? bytes[start]! ^ (1 << random.below(8)) : random.below(256)]) };
    case "bytes":
      return { start, end, by: mutateBytes(bytes.subarray(start, end), random) };
    case "double":
      return { start, end, by: Buffer.from(random.pick(["000000000000f87f", "ffffffffffffffff", "0000000000000080"]), "hex") };
    default:
      throw kind satisfies never;
  }
}

/** The page headers that can be found, then the footer. */
function structuresOf(bytes: Buffer): readonly Structure[] {
  const known = scanned.get(bytes);
  if (known !== undefined) return known;
  const footerEnd = bytes.length - MAGIC_BYTES - FOOTER_LENGTH_BYTES;
  const footerStart = footerEnd - bytes.readUInt32LE(footerEnd);
  const pages: Structure[] = [];
  // Pages follow one another from the start: a header, then as many bytes as its third field says.
  for (let at = MAGIC_BYTES; at < footerStart && pages.length < MAX_PAGES;) {
    try {
      const page = scan(bytes, at);
      const [, , compressed] = page.fields.filter(({ kind }) => kind === "varint");
      pages.push(page);
      at = page.end + Number(unZigzag(readVarint(bytes, compressed!.start).value));
    } catch {
      break;
    }
  }
  const structures = [...pages, { ...scan(bytes, footerStart), end: footerEnd }];
  if (scanned.size < MAX_SCANNED) scanned.set(bytes, structures);
  return structures;
}

/** The fields of one struct. */
function scan(bytes: Buffer, from: number): Structure {
  const fields: Field[] = [];
  let at = from;
  const varintField = (): bigint => {
    const { value, end } = readVarint(bytes, at);
    fields.push({ start: at, end, kind: "varint" });
    at = end;
    return value;
  };
  const take = (length: number, kind: Field["kind"]): void => {
    if (at + length > bytes.length) throw new RangeError("past the end");
    if (length > 0) fields.push({ start: at, end: at + length, kind });
    at += length;
  };
  const value = (type: number): void => {
    if (type === 1 || type === 2) return; // A boolean is in its header.
    if (type === 3) take(1, "header");
    else if (type >= 4 && type <= 6) varintField();
    else if (type === 7) take(8, "double");
    else if (type === 8) take(Number(varintField()), "bytes");
    else if (type === 9 || type === 10) list();
    else if (type === 12) struct();
    else throw new RangeError(`an unknown type ${type}`);
  };
  const list = (): void => {
    const header = bytes[at]!;
    take(1, "header");
    const count = header >> 4 === 15 ? Number(varintField()) : header >> 4;
    if (count > bytes.length) throw new RangeError("past the end");
    for (let i = 0; i < count; i++) {
      if ((header & 15) <= 2) take(1, "header");
      else value(header & 15);
    }
  };
  const struct = (): void => {
    for (;;) {
      const header = bytes[at];
      if (header === undefined) throw new RangeError("past the end");
      take(1, "header");
      if (header === 0) return;
      // The field's number follows if it is not given as a difference.
      if (header >> 4 === 0) varintField();
      value(header & 15);
    }
  };
  struct();
  return { start: from, end: at, fields };
}

function readVarint(bytes: Buffer, from: number): { readonly value: bigint; readonly end: number } {
  let value = 0n;
  for (let at = from; at < Math.min(bytes.length, from + 10); at++) {
    value |= BigInt(bytes[at]! & 0x7f) << BigInt(7 * (at - from));
    if (bytes[at]! < 0x80) return { value, end: at + 1 };
  }
  throw new RangeError("a number without an end");
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

function unZigzag(value: bigint): bigint {
  return (value >> 1n) ^ -(value & 1n);
}
