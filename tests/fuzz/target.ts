/**
 * @file The parts of the fuzzer's interface: a target feeds files to one entry point of cusprun.
 */

import type { Random } from "./random.ts";

/** File name → contents. */
export type Files = ReadonlyMap<string, Buffer>;

/** A valid input to start from. */
export interface Base {
  readonly name: string;
  readonly files: Files;
  /** The files that are changed; the others stay as they are. */
  readonly changed: readonly string[];
}

/** A reader of another project that must accept what cusprun accepts. */
export type SecondReader = "safetensors" | "gguf";

/** A way into the program. */
export interface Target {
  readonly name: string;
  /** Its share of a run's inputs, relative to the others'; default 1. */
  readonly weight?: number;
  /** Makes the valid inputs. Called once per process. */
  bases(): Promise<readonly Base[]>;
  /** Changes one file of a base. */
  mutate(file: string, contents: Buffer, random: Random, others: readonly Buffer[]): Buffer;
  /**
   * Feeds the files of a folder to the program, as deep as possible, and closes everything again.
   * @param random for choices other than the files, such as options.
   * @throws CusprunError if the input is refused.
   */
  run(folder: string, random: Random): Promise<void>;
  /** The changed files with this ending are shown to a second reader. */
  readonly secondReader?: { readonly name: SecondReader; readonly ending: string };
}

/** What became of an input. */
export type Outcome =
  | { readonly type: "accepted" }
  | { readonly type: "refused"; readonly code: string; readonly message: string }
  | { readonly type: "fault"; readonly fault: FaultKind; readonly detail: string };

/**
 * Kinds of fault. `crash`: an error that is not a `CusprunError`; `message`: an error without all its parts, or too
 * long; `hang`: more time than allowed; `memory`: more resident memory than allowed; `ended`: the process is gone;
 * `accepted`: a second reader refuses the file; `refused`: a valid file is refused.
 */
export type FaultKind = "crash" | "message" | "hang" | "memory" | "ended" | "accepted" | "refused";
