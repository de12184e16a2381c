/**
 * @file Paths that no output may replace: what a run reads, its work folder, the caches, the current folder. Places are
 * compared as the file system knows them, so that links, letter case and mounts do not hide that two paths are one.
 */

import { readlink, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { CusprunError } from "./errors.ts";
import { systemCodeOf } from "./system-errors.ts";

/** A path that an output must not replace. It need not exist. */
export interface ProtectedPath {
  readonly path: string;
  /** What it is, for messages, such as "the model". */
  readonly what: string;
  /** Whether outputs inside it may be replaced. Default false: new ones may be made there. */
  readonly holdsOutputs?: boolean;
  /** Whether it may become an output itself while nothing in it is replaced. Default false. */
  readonly mayBeFilled?: boolean;
}

/** More links in a row than any system follows. */
const MAX_LINKS = 40;

/**
 * The place that a path leads to, through all links, also through one whose target does not exist yet.
 * @throws the system's error, such as `ELOOP`, `ENAMETOOLONG` or `EACCES`.
 */
export async function realPlace(path: string, linksLeft: number = MAX_LINKS): Promise<string> {
  const absolute = resolve(path);
  try {
    return await realpath(absolute);
  } catch (error) {
    if (systemCodeOf(error) !== "ENOENT" || linksLeft === 0) throw error;
  }
  const parent = dirname(absolute);
  const link = await readlink(absolute).catch(() => null);
  if (link !== null) return realPlace(resolve(await realpath(parent), link), linksLeft - 1);
  return parent === absolute ? absolute : join(await realPlace(parent, linksLeft), basename(absolute));
}

/**
 * Checks that an output does not replace anything that is protected.
 * @param place as `realPlace` gives it.
 * @param shown the place as the user wrote it.
 * @param replaces whether something is there that would be replaced.
 * @throws CusprunError `OUTPUT_EXISTS`.
 */
export async function checkProtected(
  place: string,
  shown: string,
  inputs: readonly ProtectedPath[],
  replaces: boolean,
): Promise<void> {
  for (const { path, what, holdsOutputs = false, mayBeFilled = false } of inputs) {
    const input = await realPlace(path).catch(() => resolve(path));
    const [isBelow, isAbove] = [await isAtOrBelow(place, input), await isAtOrBelow(input, place)];
    if (isAbove ? mayBeFilled && !replaces : !isBelow || holdsOutputs || !replaces) continue;
    const relation = !isAbove ? "is inside" : isBelow ? "is" : "holds";
    throw new CusprunError("OUTPUT_EXISTS", {
      where: shown,
      found: `a place that ${relation} ${what} (${path})`,
      expected: "an output apart from everything that the run reads or keeps",
      remedy: "Choose another --out",
    });
  }
}

/** Whether a path is another one, or lies below it. */
async function isAtOrBelow(path: string, above: string): Promise<boolean> {
  if (path === above || path.startsWith(above.endsWith(sep) ? above : above + sep)) return true;
  const identity = await identityOf(above);
  if (identity === null) return false;
  for (let at = path; ; at = dirname(at)) {
    if ((await identityOf(at)) === identity) return true;
    if (at === dirname(at)) return false;
  }
}

/** The device and number of a file or folder; null if there is none. */
async function identityOf(path: string): Promise<string | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? null : `${found.dev}:${found.ino}`;
}
