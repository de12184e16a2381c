/**
 * @file Mutates a GGUF file by its fields: counts, lengths, types, sizes and offsets take interesting values; keys and
 * tensors are removed, repeated, renamed and moved.
 * Source: the GGUF specification of https://github.com/ggml-org/ggml
 */

import type { Random } from "../random.ts";
import { KEYS, NUMBERS, STRINGS } from "../values.ts";
import { mutateBytes, replaced, withNumber } from "./bytes.ts";

/** A number of a fixed width, or the bytes of a string without their length. */
interface Field {
  readonly start: number;
  readonly end: number;
  readonly isText: boolean;
}

/** A key with its value, or a tensor's description, `[start, end)`. */
interface Entry {
  readonly start: number;
  readonly end: number;
}

interface Layout {
  readonly fields: readonly Field[];
  readonly pairs: readonly Entry[];
  readonly tensors: readonly Entry[];
}

const TENSOR_COUNT = 8;
const PAIR_COUNT = 16;
/** Bytes of each value type; 8 is a string, 9 an array. */
const WIDTHS: readonly number[] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const STRING = 8;
const ARRAY = 9;
/** Entries of an array that are fields of their own. */
const MAX_ELEMENTS = 64;
const MAX_SCANNED = 100;

const scanned = new Map<Buffer, Layout>();

/** A file with a few fields or entries changed. The bytes must be a valid file. */
export function mutateGguf(bytes: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  if (random.chance(0.15)) return mutateBytes(bytes, random, others);
  let mutated = bytes;
  for (let count = random.few(); count > 0; count--) {
    const layout = layoutOf(mutated);
    if (layout === null) return mutated;
    mutated = random.chance(0.65) ? changeField(mutated, layout, random) : changeEntry(mutated, layout, random);
  }
  return random.chance(0.05) ? mutated.subarray(0, random.position(mutated.length)) : mutated;
}

function changeField(bytes: Buffer, { fields }: Layout, random: Random): Buffer {
  const { start, end, isText } = random.pick(fields);
  if (!isText) {
    const old = readNumber(bytes, start, end);
    const near = [old + 1n, old - 1n, old * 2n, old / 2n, old ^ (1n << BigInt(random.below(8 * (end - start))))];
    return withNumber(bytes, start, end - start, random.chance(0.5) ? random.pick(near) : random.pick(NUMBERS));
  }
  const text = random.chance(0.3)
    ? mutateBytes(bytes.subarray(start, end), random)
    : Buffer.from(random.pick(random.chance(0.5) ? KEYS : STRINGS));
  // Sometimes the length before it stays as it was.
  const grown = replaced(bytes, start, end, text);
  return random.chance(0.1) ? grown : withNumber(grown, start - 8, 8, BigInt(text.length));
}

function changeEntry(bytes: Buffer, { pairs, tensors }: Layout, random: Random): Buffer {
  const isPair = tensors.length === 0 || (pairs.length > 0 && random.chance(0.6));
  const list = isPair ? pairs : tensors;
  if (list.length === 0) return mutateBytes(bytes, random);
  const counter = isPair ? PAIR_COUNT : TENSOR_COUNT;
  const counted = (changed: Buffer, more: bigint): Buffer =>
    random.chance(0.1) ? changed : withNumber(changed, counter, 8, readNumber(bytes, counter, counter + 8) + more);
  const { start, end } = random.pick(list);
  const other = random.pick(list);
  const copy = bytes.subarray(other.start, other.end);
  switch (random.below(4)) {
    case 0:
      return counted(replaced(bytes, start, end, Buffer.alloc(0)), -1n);
    case 1:
      return counted(replaced(bytes, end, end, copy), 1n);
    case 2:
      return replaced(bytes, start, end, copy);
    default: {
      // The other's name or key with what this one holds.
      const name = bytes.subarray(other.start, other.start + 8 + Number(readNumber(bytes, other.start, other.start + 8)));
      return replaced(bytes, start, start + 8 + Number(readNumber(bytes, start, start + 8)), name);
    }
  }
}

function readNumber(bytes: Buffer, start: number, end: number): bigint {
  return end - start === 8 ? bytes.readBigUInt64LE(start) : BigInt(bytes.readUIntLE(start, end - start));
}

/** The fields of a file; null if it cannot be followed any more. */
function layoutOf(bytes: Buffer): Layout | null {
  const known = scanned.get(bytes);
  if (known !== undefined) return known;
  try {
    const layout = scan(bytes);
    if (scanned.size < MAX_SCANNED) scanned.set(bytes, layout);
    return layout;
  } catch {
    return null;
  }
}

function scan(bytes: Buffer): Layout {
  const fields: Field[] = [];
  let at = 0;
  const number = (width: number): bigint => {
    if (at + width > bytes.length) throw new RangeError("past the end");
    fields.push({ start: at, end: at + width, isText: false });
    at += width;
    return readNumber(bytes, at - width, at);
  };
  const text = (): void => {
    const length = Number(number(8));
    if (at + length > bytes.length) throw new RangeError("past the end");
    fields.push({ start: at, end: at + length, isText: true });
    at += length;
  };
  const value = (type: number): void => {
    if (type === STRING) return text();
    const width = WIDTHS[type];
    if (width === undefined) throw new RangeError("an unknown type");
    if (type !== ARRAY) {
      number(width);
      return;
    }
    const elementType = Number(number(4));
    const count = Number(number(8));
    if (count > bytes.length) throw new RangeError("past the end");
    const before = fields.length;
    for (let i = 0; i < count; i++) value(elementType);
    fields.splice(before + MAX_ELEMENTS);
  };
  const entriesOf = (count: bigint, read: () => void): Entry[] =>
    Array.from({ length: Math.min(Number(count), bytes.length) }, () => {
      const start = at;
      read();
      return { start, end: at };
    });
  number(4);
  number(4);
  const tensorCount = number(8);
  const pairs = entriesOf(number(8), () => {
    text();
    value(Number(number(4)));
  });
  const tensors = entriesOf(tensorCount, () => {
    text();
    const dimensions = Number(number(4));
    for (let i = 0; i < Math.min(dimensions, 8); i++) number(8);
    number(4);
    number(8);
  });
  return { fields, pairs, tensors };
}
