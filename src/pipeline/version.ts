/**
 * @file The package's version, for `--version` and model cards.
 */

import { readFileSync } from "node:fs";

/** Version of cusprun, from its package.json. */
export function cusprunVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  return version;
}
