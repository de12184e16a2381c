/**
 * @file What the readers of structured files have in common: a file is a sequence of rows, some of which may be
 * unusable. Single unusable rows are counted and skipped; a file with more of them is refused.
 */

import { CusprunError, type ErrorParts } from "../errors.ts";

/** A line, item or row of a file: a JSON object or a string. */
export interface Row {
  readonly value: unknown;
  /** `file.jsonl:12`, for messages. */
  readonly source: string;
}

/** A row that cannot be used. */
export interface BrokenRow {
  /** The error with which a file of such rows is refused. */
  readonly error: CusprunError;
}

/** The rows of a file, in order. */
export type Rows = AsyncIterable<Row | BrokenRow>;

/** Largest share of unusable rows. */
export const MAX_UNUSABLE_SHARE = 0.01;

/** In a short file, this many rows may be unusable, but at most `MAX_UNUSABLE_SHARE_OF_FEW` of them. */
const ALWAYS_ALLOWED = 3;
const MAX_UNUSABLE_SHARE_OF_FEW = 0.1;

/** At this number of unusable rows their share is checked before the end: a large file in another format. */
const CHECKED_EARLY = 100;

/** Unusable rows that a message names besides the first one. */
const NAMED_ROWS = 3;

/** Counts the rows of one file. */
export class RowCounter {
  readonly #path: string;
  readonly #unusable: CusprunError[] = [];
  #unusableCount = 0;
  #rows = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Number of unusable rows so far. */
  get unusable(): number {
    return this.#unusableCount;
  }

  /** The error of the first unusable row; null if there is none. */
  get first(): CusprunError | null {
    return this.#unusable[0] ?? null;
  }

  /** Counts a row, usable or not. */
  count(): void {
    this.#rows++;
  }

  /**
   * Counts a row that was counted before as unusable.
   * @throws CusprunError the error of the first one, if there are already many.
   */
  skip(error: CusprunError): void {
    this.#unusableCount++;
    if (this.#unusable.length <= NAMED_ROWS) this.#unusable.push(error);
    if (this.#unusableCount >= CHECKED_EARLY) this.check();
  }

  /**
   * Checks the share of unusable rows.
   * @throws CusprunError the error of the first one, with the number of all.
   */
  check(): void {
    const [first, ...others] = this.#unusable;
    const few = Math.min(ALWAYS_ALLOWED, MAX_UNUSABLE_SHARE_OF_FEW * this.#rows);
    if (first === undefined || this.#unusableCount <= Math.max(MAX_UNUSABLE_SHARE * this.#rows, few)) return;
    throw new CusprunError(first.code, this.#describe(first.parts, others), { cause: first });
  }

  #describe(parts: ErrorParts, others: readonly CusprunError[]): ErrorParts {
    if (this.#unusableCount === 1) return parts;
    const rest = this.#unusableCount - 1;
    const named = others.map((error) => error.parts.where.replace(this.#path, "")).join(", ");
    const more = rest > others.length ? ", …" : "";
    return { ...parts, found: `${parts.found}; ${rest} more of ${this.#rows} rows cannot be used (${named}${more})` };
  }
}
