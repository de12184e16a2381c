/**
 * @file The values of all binary16 bit patterns, for the scales of GGML's blocks.
 */

import { widenToFloat32 } from "../../float-convert.ts";

const PATTERNS = 65_536;

let values: Float32Array | undefined;

/** Value of each binary16 bit pattern, [65536], computed once (256 KiB). */
export function float16Values(): Float32Array {
  values ??= widenToFloat32(new Uint8Array(Uint16Array.from({ length: PATTERNS }, (_, pattern) => pattern).buffer), "F16");
  return values;
}
