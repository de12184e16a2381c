/**
 * @file Mutates bytes without knowing their format: bit flips, interesting numbers in any width, cuts, repeats and
 * splices of two files.
 */

import type { Random } from "../random.ts";
import { NUMBERS } from "../values.ts";

/** Bytes with a few places changed. */
export function mutateBytes(bytes: Buffer, random: Random, others: readonly Buffer[] = []): Buffer {
  let mutated = bytes;
  for (let count = random.few(); count > 0; count--) mutated = changeOne(mutated, random, others);
  return mutated;
}

function changeOne(bytes: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  if (bytes.length === 0) return Buffer.from([random.below(256)]);
  const at = random.position(bytes.length);
  const kind = random.next();
  if (kind < 0.25) {
    const copy = Buffer.from(bytes);
    copy[at] = copy[at]! ^ (1 << random.below(8));
    return copy;
  }
  if (kind < 0.5) return withNumber(bytes, at, random.pick([1, 2, 4, 8]), random.pick(NUMBERS));
  if (kind < 0.6) {
    const copy = Buffer.from(bytes);
    copy[at] = random.below(256);
    return copy;
  }
  if (kind < 0.7) return bytes.subarray(0, at);
  if (kind < 0.78) return replaced(bytes, at, at + 1 + random.below(Math.min(64, bytes.length - at)), Buffer.alloc(0));
  if (kind < 0.86) {
    const end = Math.min(bytes.length, at + 1 + random.below(64));
    return replaced(bytes, end, end, bytes.subarray(at, end));
  }
  if (kind < 0.9) return Buffer.concat([bytes, Buffer.alloc(random.pick([1, 7, 8, 100, 5000]), random.pick([0, 0xff, 0x41]))]);
  const other = others.length === 0 ? bytes : random.pick(others);
  return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))]);
}

/** A little-endian number of 1, 2, 4 or 8 bytes written over what is there; shorter at the end. */
export function withNumber(bytes: Buffer, at: number, width: number, value: bigint): Buffer {
  const copy = Buffer.from(bytes);
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(BigInt.asUintN(64, value));
  number.copy(copy, at, 0, width);
  return copy;
}

/** Bytes with `[start, end)` replaced. */
export function replaced(bytes: Buffer, start: number, end: number, by: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, start), by, bytes.subarray(end)]);
}
