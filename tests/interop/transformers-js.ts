/**
 * @file Runs transformers.js on an ONNX folder, from the install that CUSPRUN_LLAMA_CPP names.
 */

import { runLlamaCpp } from "./llama-cpp.ts";

/** Logits of every position of some ids, and the ids that follow. */
export interface Continuation {
  readonly logits: number[][];
  readonly generated: number[];
}

/** Asks `AutoModelForCausalLM` about token ids. @param dtype where absent, the folder's own. */
export async function continueIds(
  folder: string,
  ids: readonly number[],
  newTokens: number,
  dtype?: string,
): Promise<Continuation> {
  return runLlamaCpp<Continuation>(folder, { ids, newTokens, dtype }, "transformers-js.mjs");
}

/** Asks `pipeline("text-generation")` to go on with a text. */
export async function continueText(folder: string, prompt: string, newTokens: number, dtype?: string): Promise<string> {
  return (await runLlamaCpp<{ text: string }>(folder, { prompt, newTokens, dtype }, "transformers-js.mjs")).text;
}
