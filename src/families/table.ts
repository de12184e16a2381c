/**
 * @file The supported families. A new one is an entry here and a file next to this one.
 */

import type { Family } from "./family.ts";
import { GEMMA3 } from "./gemma3.ts";
import { LLAMA } from "./llama.ts";
import { MISTRAL } from "./mistral.ts";
import { QWEN2 } from "./qwen2.ts";
import { QWEN3 } from "./qwen3.ts";

/** Every supported family. Of several that a GGUF file could be, the first is chosen. */
export const FAMILIES: readonly Family[] = [LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA3];
