/**
 * @file Notices that a corpus changes while a run reads it, or between two readings: its documents are drawn in one,
 * its tokens are counted in another.
 */

import { CusprunError } from "../errors.ts";
import { stampAt } from "../file-stamp.ts";
import type { JobOptions } from "../progress.ts";

/** The files that each spec stood for when it was first read, each with its stamp; null where nothing was found. */
type Stamps = ReadonlyMap<string, string | null>;

/** A job that reads corpora. */
export interface ReadingJob extends JobOptions {
  /** What the run's earlier readings found, so that a corpus that changes between two of them is noticed. */
  readonly stamps?: CorpusStamps;
}

/** What the readings of one run have found. */
export class CorpusStamps {
  readonly #known = new Map<string, Stamps>();

  /**
   * Checks that a spec stands for the same files as before, with the same sizes and times. The first call for a spec
   * records them.
   * @throws CusprunError `CORPUS_CHANGED`.
   */
  async check(spec: string, files: readonly string[]): Promise<void> {
    const found = new Map<string, string | null>();
    for (const file of files) found.set(file, await stampAt(file));
    const before = this.#known.get(spec) ?? found;
    this.#known.set(spec, before);
    const changed = [...new Set([...before.keys(), ...files])].find((file) => before.get(file) !== found.get(file));
    if (changed !== undefined) throw corpusChanged(changed);
  }

  /**
   * Checks all files that were recorded.
   * @throws CusprunError `CORPUS_CHANGED`.
   */
  async checkAll(): Promise<void> {
    for (const [spec, files] of this.#known) await this.check(spec, [...files.keys()]);
  }
}

function corpusChanged(path: string): CusprunError {
  return new CusprunError("CORPUS_CHANGED", {
    where: path,
    found: "a file that was written to, added or removed while the corpus was being read",
    expected: "the same corpus from the beginning to the end of a run",
    remedy: "Run again, and do not change the corpus meanwhile",
  });
}
