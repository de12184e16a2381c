/**
 * @file Shows files to readers of other projects, `safetensors` and `gguf` in Python, in one process that stays open.
 * What cusprun accepts and they refuse is a fault, unless the difference is listed here.
 */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { Input } from "./inputs.ts";
import { ROOT } from "./paths.ts";
import type { RangeReport } from "./protocol.ts";
import type { Outcome, Target } from "./target.ts";

/** Differences that are intended: part of the reader's message → why cusprun accepts the file. */
const DOCUMENTED: readonly (readonly [message: RegExp, reason: string])[] = [];

/** A second reader at work. */
export interface SecondReaderProcess {
  /** Keeps an input's file until `judge`. */
  add(index: number, input: Input, outcome: Outcome): void;
  /** Judges the files that were added, and adds what it finds to a report. */
  judge(report: RangeReport): Promise<void>;
  /** A fault, if the reader refuses this accepted input. */
  judgeOne(input: Input): Promise<Outcome | undefined>;
  close(): void;
}

interface Waiting {
  readonly index: number;
  readonly path: string;
  readonly code: string | null;
}

/** Starts the reader of a target; null if it has none, or if CUSPRUN_PYTHON is not set. */
export function openSecondReader(target: Target, folder: string): SecondReaderProcess | null {
  const python = process.env["CUSPRUN_PYTHON"];
  return target.secondReader === undefined || python === undefined ? null : new PythonReader(python, target.secondReader, folder);
}

class PythonReader implements SecondReaderProcess {
  readonly #ending: string;
  readonly #folder: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  #waiting: Waiting[] = [];

  constructor(python: string, { name, ending }: NonNullable<Target["secondReader"]>, folder: string) {
    this.#ending = ending;
    this.#folder = join(folder, "second-reader");
    mkdirSync(this.#folder, { recursive: true });
    const script = join(ROOT, "tests/fuzz/second-reader.py");
    this.#child = spawn(python, [script, name], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  add(index: number, input: Input, outcome: Outcome): void {
    for (const [name, bytes] of input.changed) {
      if (!name.endsWith(this.#ending)) continue;
      const path = join(this.#folder, `${index}-${name}`);
      writeFileSync(path, bytes);
      this.#waiting.push({ index, path, code: outcome.type === "refused" ? outcome.code : null });
    }
  }

  async judge(report: RangeReport): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length === 0) return;
    this.#child.stdin.write(waiting.map(({ path }) => `${path}\n`).join(""));
    for (const { index, path, code } of waiting) {
      const refusal = await this.#verdict();
      rmSync(path);
      if (code === null) report.shown++;
      if (code === null && refusal !== null) report.faults.push({ index, fault: "accepted", detail: refusal });
      if (code !== null && refusal === null) report.stricter[code] = (report.stricter[code] ?? 0) + 1;
    }
  }

  async judgeOne(input: Input): Promise<Outcome | undefined> {
    this.add(0, input, { type: "accepted" });
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { path } of waiting) {
      this.#child.stdin.write(`${path}\n`);
      const refusal = await this.#verdict();
      rmSync(path);
      if (refusal !== null) return { type: "fault", fault: "accepted", detail: refusal };
    }
    return undefined;
  }

  close(): void {
    this.#child.stdin.end();
  }

  /** The reader's message; null if it accepts the file, or refuses it for a documented difference. */
  async #verdict(): Promise<string | null> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("the second reader has ended");
    const { refused } = JSON.parse(value) as { readonly refused: string | null };
    return refused === null || DOCUMENTED.some(([message]) => message.test(refused)) ? null : refused;
  }
}
