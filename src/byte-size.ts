/**
 * @file Sizes such as `5GB` → bytes.
 */

import { CusprunError } from "./errors.ts";

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * Reads `5GB` (decimal), `512MiB` or `6G` (binary: Docker, systemd and the JVM also read a single letter as binary).
 * @param setting the option or environment variable that holds it, for error messages.
 * @throws CusprunError `USAGE`.
 */
export function parseByteSize(text: string, setting: `--${string}` | "CUSPRUN_CACHE_LIMIT"): number {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  const factor = UNITS[unit.toLowerCase()];
  const bytes = Math.floor(Number(amount) * (factor ?? Number.NaN));
  if (bytes >= 1 && Number.isSafeInteger(bytes)) return bytes;
  throw new CusprunError("USAGE", {
    where: setting,
    found: `'${text}'`,
    expected: "a size such as 5GB, 512MiB or 6G",
    remedy: setting.startsWith("--") ? `Write ${setting} 5GB, for example` : `Set ${setting} to 5GB, for example`,
  });
}
