/** @file The closing table as plain text. */

import { expect, test } from "vitest";
import type { PruneReport } from "../../src/report/report.ts";
import { renderReport } from "../../src/report/table.ts";

const figure = (perplexity: number) => ({ perplexity, bitsPerByte: 1, tokenCount: 1000 });

const REPORT: PruneReport = {
  model: "tiny",
  family: "llama",
  layers: 3,
  layout: "uniform",
  granularity: "structural",
  budget: "25%",
  parameters: { before: 134_515_008, after: 100_900_000, removed: 33_615_008 },
  input: { bytes: 98_000_000, dtypes: ["Q4_1", "Q8_0"] },
  written: [{ format: "hf", label: "weights in BF16", before: 269_030_016, after: 201_800_000, files: ["model.safetensors"] }],
  vocabulary: null,
  units: [
    { kind: "ffn", before: [1536, 1536, 1536], removedPerLayer: [512, 512, 512] },
    { kind: "head", before: [9, 9, 9], removedPerLayer: [0, 3, 0] },
  ],
  memory: { limitBytes: 2 ** 34, keptStatesBytes: 0, stages: [] },
  notes: [],
  repair: { documents: 183, fitted: 3, tried: 3 },
  dimensions: [
    {
      dimension: "language",
      label: "中文 + notes.jsonl",
      sources: [],
      calibrationDocuments: 90,
      heldOutDocuments: 10,
      dense: figure(12.345),
      expert: figure(15.4),
    },
    {
      dimension: "domain",
      label: "legal",
      sources: [],
      calibrationDocuments: 90,
      heldOutDocuments: 12,
      dense: figure(8),
      expert: figure(8.8),
    },
    {
      dimension: "task",
      label: "tiny task",
      sources: [],
      calibrationDocuments: 3,
      heldOutDocuments: 0,
      dense: null,
      expert: null,
    },
  ],
  overlap: { "language∩domain": 0.612 },
  out: "experts/medical",
  scores: { path: "work/scores.safetensors", reused: true },
  elapsedMs: 83_000,
};

test("of a uniform expert", () => {
  const [table, commands] = renderReport(REPORT).split("Try it:\n");
  expect(table).toMatchInlineSnapshot(`
    "tiny (llama, 93.5 MiB as Q4_1, Q8_0), uniform, budget 25%

                      before    after  change
    parameters        134.5M   100.9M  -25.0%
    weights in BF16  257 MiB  192 MiB  -25.0%

    held-out perplexity                      before  after  ratio  documents
      language           中文 + notes.jsonl   12.35  15.40  1.25×         10
      domain             legal                 8.00   8.80  1.10×         12

    removed in 3 layers  per layer  removed  kept  share
      ffn                     1536      512  1024  33.3%
      head                       9      0–3   6–9  11.1%

    overlap of the irrelevant sets (Jaccard)
      language∩domain                         0.61

    repair  3 of 3 fits kept, on 183 documents
    expert  experts/medical
    scores  work/scores.safetensors (reused)
    time    1 min 23 s

    "
  `);
  expect(commands).toBe(
    `  python3 -c 'from transformers import pipeline; print(pipeline("text-generation", "experts/medical")` +
      `("The doctor said", max_new_tokens=40)[0]["generated_text"])'`,
  );
});

test("of a masked expert shows how many parameters are not zero", () => {
  const masked: PruneReport = { ...REPORT, layout: "masked", parameters: { before: 1000, after: 1000, removed: 250 } };
  expect(renderReport(masked)).toMatch(/not zero +1\.00k +750 +-25\.0%/);
});

test("of a run that removed and measured nothing", () => {
  const text = renderReport({ ...REPORT, units: [], dimensions: [], overlap: {} });
  expect(text).toContain("No units were removed from the decoder blocks.");
  expect(text).not.toContain("perplexity");
});
