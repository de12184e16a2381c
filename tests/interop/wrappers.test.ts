/**
 * @file Text models inside multimodal ones, and text models without their output head, as transformers saves them:
 * cusprun computes the logits that the whole model has for text, and writes text models that transformers loads.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { writeHuggingFaceFolder } from "../../src/export/hugging-face/write-hugging-face.ts";
import { familyNamed, modelClass } from "../../src/families/index.ts";
import { wholeExpert } from "../../src/surgery/expert.ts";
import { cardInput } from "../support/cards.ts";
import { ourLogits, worstRelativeError } from "../support/forward-goldens.ts";
import { planOf } from "../support/plans.ts";
import { errorOf } from "../support/temporary-gguf.ts";
import { runPython } from "./python.ts";

interface Saved {
  readonly missing: readonly string[];
  readonly names: readonly string[];
  readonly logits: readonly number[];
}

interface Loaded {
  readonly modelClass: string;
  readonly keys: readonly string[];
  readonly logits: readonly number[];
}

const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];
/** Both compute in f32 from the same weights. */
const TOLERANCE = 2e-5;

const WRAPPED = [
  ["gemma3", "gemma3_text"],
  ["mistral3", "mistral"],
  ["llava", "llama"],
  ["llava", "mistral"],
  ["llava", "qwen2"],
  ["internvl", "qwen2"],
  ["internvl", "qwen3"],
]
  .flatMap((models) => ["saved", "nested", "sparse"].map((spelling) => [...models, spelling]))
  .flatMap((parts) => ["tied", "untied"].map((tied) => [...parts, tied].join(":")));
const BODIES = ["llama", "mistral", "qwen2", "qwen3", "gemma3_text"].map((text) => `text:${text}:body:tied`);
const WRAPPED_BODY = "gemma3:gemma3_text:body:tied";
const HEADLESS = ["text:llama:body:untied", "text:qwen2:body:untied"];

let home: string;
let saved: Readonly<Record<string, Saved>>;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "cusprun-interop-"));
  saved = await runPython("wrappers.py", ["save", home, IDS.join(","), ...WRAPPED, ...BODIES, WRAPPED_BODY, ...HEADLESS]);
}, 600_000);
afterAll(() => rm(home, { recursive: true, force: true }));

const folderOf = (name: string): string => join(home, name.replaceAll(":", "-"));

/** Opens a model, compares its logits with those of transformers, and returns it. */
async function openCompared(name: string): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(folderOf(name));
  expect(saved[name]!.missing).toEqual([]);
  expect(worstRelativeError(await ourLogits(checkpoint, IDS), saved[name]!.logits)).toBeLessThan(TOLERANCE);
  return checkpoint;
}

test.each(WRAPPED)("%s", async (name) => {
  const checkpoint = await openCompared(name);
  expect(checkpoint.config.tieWordEmbeddings).toBe(name.endsWith(":tied"));
  expect(checkpoint.leftOut?.parts).toEqual(["multi_modal_projector", "vision_tower"]);
  await checkpoint.close();
});

describe("a model without its output head", () => {
  test.each([...BODIES, WRAPPED_BODY])("%s", async (name) => {
    const checkpoint = await openCompared(name);
    expect(saved[name]!.names).not.toContain("lm_head.weight");
    expect(checkpoint.configJson["architectures"]).toEqual([modelClass(familyNamed(checkpoint.config.family))]);
    await checkpoint.close();
  });

  test.each(HEADLESS)("%s: transformers would make one up", async (name) => {
    expect(saved[name]!.missing).toEqual(["lm_head.weight"]);
    const error = await errorOf(openCheckpoint(folderOf(name)));
    expect([error.code, error.message]).toEqual([
      "TENSOR_MISSING",
      expect.stringMatching(/without 'lm_head\.weight', although tie_word_embeddings is false.*load the original/),
    ]);
  });
});

test("what is written is a text model with the same logits", async () => {
  const names = [...WRAPPED.filter((name) => name.includes(":saved:")), ...BODIES];
  for (const name of names) {
    const checkpoint = await openCheckpoint(folderOf(name));
    const options = { plan: planOf("masked", []), card: cardInput(checkpoint.config) };
    await writeHuggingFaceFolder(wholeExpert(checkpoint), null, `${folderOf(name)}-written`, options);
    await checkpoint.close();
  }
  const folders = names.map((name) => `${name.replaceAll(":", "-")}-written`);
  const loaded = await runPython<Record<string, Loaded>>("wrappers.py", ["load", home, IDS.join(","), ...folders]);
  for (const [i, name] of names.entries()) {
    const { modelClass: written, keys, logits } = loaded[folders[i]!]!;
    expect([name, keys, written]).toEqual([name, [], expect.stringMatching(/^(Gemma3|Mistral|Llama|Qwen2|Qwen3)ForCausalLM$/)]);
    expect(worstRelativeError(logits, saved[name]!.logits)).toBeLessThan(TOLERANCE);
  }
});
