/**
 * @file Tiny ragged experts of every family in stock llama.cpp, as `deci` or `openelm`: the logits and the greedy
 * continuation of the f64 reference.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { exportGguf } from "../../src/export/gguf/export-gguf.ts";
import { worstRelativeError } from "../support/forward-goldens.ts";
import { greedyIds, RAGGED_CUTS, raggedFolder } from "../support/ragged.ts";
import { tinyModel } from "../support/tiny-models.ts";
import { logSoftmax, runLlamaCpp } from "./llama-cpp.ts";

const IDS = [1, 5, 7, 9, 3, 40, 22, 11, 6, 13, 2, 30];

/**
 * Relative to the largest log probability: llama.cpp stores keys and values in F16, with a relative rounding error of
 * up to 5e-4.
 */
const TOLERANCE = 1e-3;

let home: string;
beforeEach(async () => void (home = await mkdtemp(join(tmpdir(), "cusprun-ragged-gguf-"))));
afterEach(() => rm(home, { recursive: true, force: true }));

test.each([
  { family: "llama", changes: {}, architecture: "deci" },
  { family: "llama", changes: { attentionBias: true }, architecture: "deci" },
  { family: "mistral", changes: {}, architecture: "deci" },
  { family: "qwen2", changes: {}, architecture: "deci" },
  { family: "qwen3", changes: { tied: true }, architecture: "openelm" },
] as const)("$family $changes as $architecture", async ({ family, changes, architecture }) => {
  const { reference } = await raggedFolder(tinyModel(family, changes), RAGGED_CUTS, join(home, "expert"));
  const file = join(home, "tiny.gguf");
  const expert = await openCheckpoint(join(home, "expert"));
  const written = await exportGguf(expert, file, { type: "F32" });
  await expert.close();
  expect(written.architecture).toBe(architecture);
  const ids = IDS.slice(0, written.contextLength);
  const { vocabSize } = expert.config;
  const found = await runLlamaCpp<number[][]>(file, { ids });
  expect(worstRelativeError(found.flat(), logSoftmax(reference(ids).flat(), vocabSize))).toBeLessThan(TOLERANCE);

  const prompt = ids.slice(0, 2);
  const continued = greedyIds(reference, prompt, Math.min(8, written.contextLength - prompt.length));
  const rows = await runLlamaCpp<number[][]>(file, { ids: [...prompt, ...continued.slice(0, -1)] });
  expect(rows.slice(prompt.length - 1).map((row) => row.indexOf(Math.max(...row)))).toEqual(continued);
});
