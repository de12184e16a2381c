/**
 * @file Mutates a safetensors file: its header as JSON, with the length before it corrected or not, and its data.
 * Source: https://huggingface.co/docs/safetensors
 */

import type { Random } from "../random.ts";
import { NUMBERS } from "../values.ts";
import { mutateBytes, withNumber } from "./bytes.ts";
import { mutateJson } from "./json.ts";

const LENGTH_BYTES = 8;

/** A file with a few things changed. The bytes must be a valid file. */
export function mutateSafetensors(bytes: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  const kind = random.next();
  if (kind < 0.1) return mutateBytes(bytes, random, others);
  const headerEnd = LENGTH_BYTES + Number(bytes.readBigUInt64LE());
  if (kind < 0.2) return changeValues(bytes, headerEnd, random);
  const header = bytes.toString("utf8", LENGTH_BYTES, headerEnd);
  const changed = Buffer.from(random.chance(0.25) ? changeOffsets(header, random) : mutateJson(header, random));
  const data = bytes.subarray(headerEnd);
  const kept = random.chance(0.9) ? data : data.subarray(0, random.position(data.length + 1));
  const whole = Buffer.concat([bytes.subarray(0, LENGTH_BYTES), changed, kept]);
  const length = random.chance(0.95) ? BigInt(changed.length) : random.pick(NUMBERS);
  return withNumber(whole, 0, LENGTH_BYTES, length);
}

/** Two tensors of other places and sizes, as consistent as a forger makes them. */
function changeOffsets(header: string, random: Random): string {
  return header.replace(/"data_offsets":\s*\[(\d+),\s*(\d+)\]/g, (whole, start: string, end: string) => {
    if (!random.chance(0.15)) return whole;
    const near = [Number(start), Number(end), Number(start) + 1, Number(end) - 1, 0];
    const pick = (): string => (random.chance(0.7) ? String(random.pick(near)) : String(random.pick(NUMBERS)));
    return `"data_offsets":[${pick()},${pick()}]`;
  });
}

/** Not-a-number, infinities, signs and denormals among the values. */
function changeValues(bytes: Buffer, headerEnd: number, random: Random): Buffer {
  let changed = bytes;
  const count = bytes.length - headerEnd;
  if (count < 4) return mutateBytes(bytes, random);
  const values = [0x7fc00000n, 0x7f800000n, 0xff800000n, 0x80000000n, 1n, 0x7f7fffffn, 0xbf800000n, 0x7ff07ff0n];
  for (let left = random.few(); left > 0; left--) {
    const at = headerEnd + 4 * random.below(Math.floor(count / 4));
    changed = withNumber(changed, at, random.pick([2, 4]), random.pick(values));
  }
  return changed;
}
