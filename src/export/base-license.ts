/**
 * @file Reads the base model's licence from the front matter of its README.md: the hub's model card metadata.
 */

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";

/** Larger READMEs are not read; model cards have a few kilobytes. */
const MAX_README_BYTES = 2 ** 20;
/** The hub's licence identifiers: short words such as `apache-2.0`, `llama3.1`, `gemma`. */
const LICENSE_PATTERN = /^[a-z0-9][a-z0-9.+-]{0,63}$/i;

/**
 * The licence identifier in the README.md of a model folder, or null if none can be read: copying it is a courtesy, and
 * its absence no reason to fail.
 */
export async function readBaseLicense(folder: string): Promise<string | null> {
  const path = join(folder, "README.md");
  const size = await stat(path).then(
    (found) => (found.isFile() ? found.size : Infinity),
    () => Infinity,
  );
  if (size > MAX_README_BYTES) return null;
  return licenseOfReadme(await readFile(path, "utf8").catch(() => ""));
}

/** The licence identifier in a README's front matter, or null. */
export function licenseOfReadme(readme: string): string | null {
  const block = /^\uFEFF?---\r?\n([\s\S]*?)\r?\n---/.exec(readme)?.[1];
  if (block === undefined) return null;
  try {
    // Aliases are rejected: a short text could otherwise expand to a huge one. Warnings would go to stderr.
    const metadata: unknown = parse(block, { maxAliasCount: 0, logLevel: "error" });
    const license = typeof metadata === "object" && metadata !== null && "license" in metadata ? metadata.license : null;
    return typeof license === "string" && LICENSE_PATTERN.test(license) ? license : null;
  } catch {
    return null;
  }
}
