/**
 * @file Every stock runtime that an expert can be verified in.
 */

import { LLAMA_CPP } from "./llama-cpp.ts";
import type { Runtime } from "./runtime.ts";
import { TRANSFORMERS } from "./transformers.ts";
import { TRANSFORMERS_JS } from "./transformers-js.ts";

/** In the order of the table. */
export const RUNTIMES: readonly Runtime[] = [TRANSFORMERS, LLAMA_CPP, TRANSFORMERS_JS];
