/**
 * @file Shares such as `99.9%` → numbers.
 */

import { usageError } from "./usage-error.ts";

/**
 * Reads `99.9%` or `0.999`.
 * @param option the option's name, for error messages.
 * @returns a share in (0, 1].
 * @throws CusprunError `USAGE`.
 */
export function parseShare(text: string, option: string): number {
  const [, amount, percent] = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text.trim()) ?? [];
  const share = Number(amount) / (percent === "%" ? 100 : 1);
  if (share > 0 && share <= 1) return share;
  throw usageError(`--${option}`, `'${text}'`, "a share above 0% and at most 100%", `Write --${option} 99.9%, for example`);
}
