/**
 * @file How large the work folders in the user's cache may become.
 */

import { parseByteSize } from "../byte-size.ts";

/**
 * Room for two models of 8B, or for many small ones: nearly all of a work folder are the repaired matrices in f32, 20
 * GB for an 8B that loses a quarter of its FFN.
 */
export const DEFAULT_CACHE_LIMIT_BYTES: number = 40 * 2 ** 30;

/**
 * The limit in bytes: `CUSPRUN_CACHE_LIMIT`, or the default.
 * @throws CusprunError `USAGE` for a value that is no size.
 */
export function cacheLimitBytes(): number {
  const text = process.env["CUSPRUN_CACHE_LIMIT"];
  return text ? parseByteSize(text, "CUSPRUN_CACHE_LIMIT") : DEFAULT_CACHE_LIMIT_BYTES;
}
