/**
 * @file The quickstart's expert, made from the real SmolLM2, in stock transformers. Run `npm run quickstart` first.
 */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { runPython } from "./python.ts";

const EXPERT = fileURLToPath(new URL("../../experts/smollm2-en-medical-multiple-choice", import.meta.url));

interface Loaded {
  readonly modelClass: string;
  readonly missingKeys: string[];
  readonly unexpectedKeys: string[];
  readonly parameters: number;
  readonly loss: number;
  readonly text: string;
  readonly hasChatTemplate: boolean;
}

/** Parameters of SmolLM2-135M with tied embeddings. */
const DENSE_PARAMETERS = 134_515_008;

/** English function words: frequent in sensible text, but not in noise. */
const COMMON_WORDS = /\b(the|a|an|of|and|to|in|is|are|that|for|with|as|it|on|by|or|be|can|this)\b/gi;

describe("the quickstart's expert in stock transformers", () => {
  test("loads completely, is 20% smaller, and writes English", async () => {
    expect(existsSync(EXPERT), "run 'npm run quickstart' first").toBe(true);
    const prompt = "The most common symptoms of diabetes are";
    const loaded = await runPython<Loaded>("load_expert.py", [EXPERT, prompt, "40"]);
    expect(loaded.missingKeys).toEqual([]);
    expect(loaded.unexpectedKeys).toEqual([]);
    expect(loaded.modelClass).toBe("LlamaForCausalLM");
    expect(loaded.hasChatTemplate).toBe(true);
    // FFN widths are snapped to 32 units of 1536, 1.25% of the parameters.
    expect(loaded.parameters / DENSE_PARAMETERS).toBeGreaterThan(0.785);
    expect(loaded.parameters / DENSE_PARAMETERS).toBeLessThan(0.815);
    // A uniform guess over the vocabulary has a loss of ln 49152 = 10.8; the dense model is near 3 on such a sentence.
    expect(loaded.loss).toBeLessThan(6);
    const words = loaded.text.split(/\s+/).filter((word) => word !== "");
    expect(words.length).toBeGreaterThan(10);
    expect((loaded.text.match(COMMON_WORDS) ?? []).length / words.length).toBeGreaterThan(0.1);
  });
});
