/**
 * @file The kinds of files that steps write, and how each is recognised before it is written over.
 */

import { open } from "node:fs/promises";
import type { FilePlaceOptions } from "../output-place.ts";
import { readStart } from "../regular-files.ts";

/** Bytes at the start of a file that tell its kind. */
const HEAD_BYTES = 256;

/** A kind of file for `withOutputFile`. */
type OutputFileKind = Pick<FilePlaceOptions, "kind" | "recognises">;

/** Every kind of file that a step writes. */
export const OUTPUT_FILES: Readonly<
  Record<"gguf" | "modelfile" | "scores" | "plan" | "evaluation" | "comparison", OutputFileKind>
> = {
  gguf: kindOf("a GGUF file", /^GGUF/),
  modelfile: kindOf("a Modelfile that cusprun wrote", /^# ollama create NAME -f /),
  scores: kindOf("a scores file", /^[^]{8}\{"__metadata__":\{"format":"cusprun-scores-/),
  plan: kindOf("a plan", /^\s*\{\s*"formatVersion"\s*:\s*\d+\s*,\s*"/),
  evaluation: kindOf("a report of 'cusprun eval'", /^\{\s*"format":\s*"cusprun-evaluation-/),
  comparison: kindOf("the results of 'cusprun compare'", /^\{\s*"format":\s*"cusprun-comparison-/),
};

function kindOf(kind: string, start: RegExp): OutputFileKind {
  return { kind, recognises: async (path) => start.test(await readHead(path)) };
}

/** The first bytes of a file, one character each. */
async function readHead(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    return Buffer.from(await readStart(file, HEAD_BYTES)).toString("latin1");
  } finally {
    await file.close();
  }
}
