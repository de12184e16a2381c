/**
 * @file Runs transformers.js on an ONNX folder, from the installation named by CUSPRUN_LLAMA_CPP.
 */

import { runLlamaCpp } from "./llama-cpp.ts";

/** Logits at every position of some ids, and the generated ids. */
export interface Continuation {
  readonly logits: number[][];
  readonly generated: number[];
}

/** Runs `AutoModelForCausalLM` on token ids. @param dtype default: the folder's own. */
export async function continueIds(
  folder: string,
  ids: readonly number[],
  newTokens: number,
  dtype?: string,
): Promise<Continuation> {
  return runLlamaCpp<Continuation>(folder, { ids, newTokens, dtype }, "transformers-js.mjs");
}

/** Continues a text with `pipeline("text-generation")`. */
export async function continueText(folder: string, prompt: string, newTokens: number, dtype?: string): Promise<string> {
  return (await runLlamaCpp<{ text: string }>(folder, { prompt, newTokens, dtype }, "transformers-js.mjs")).text;
}
