/**
 * @file A program that makes a smaller expert of a model and looks at what came out.
 *
 *     node examples/prune-a-model.mjs [MODEL] [CORPUS] [OUT]
 *
 * In a clone of the repository run `npm ci && npm run build` first; elsewhere install the package.
 */

import { describeModel, pruneModel, renderReport } from "cusprun";

const [model = "smollm2", corpus = "examples/my-corpus.jsonl", out = "experts/from-a-program"] = process.argv.slice(2);

// Ctrl-C stops the run at its next step; nothing half-written is left.
const stop = new AbortController();
process.once("SIGINT", () => stop.abort(new Error("stopped")));

let stage = "";
const report = await pruneModel({
  model,
  corpora: { domain: [corpus] }, // also `language` and `task`; presets by name, several of them are mixed
  corpusOptions: { documents: 48, heldOutDocuments: 24 },
  selection: { budget: "20% of blocks", layout: "uniform" },
  out,
  signal: stop.signal,
  onProgress: (event) => {
    if (event.stage !== stage) process.stderr.write(`${event.stage}\n`);
    stage = event.stage;
  },
});

// The report is plain data: the table that the command prints is made from it.
process.stdout.write(`${renderReport(report)}\n\n`);
for (const { dimension, dense, expert } of report.dimensions) {
  if (dense === null || expert === null) continue; // too few documents to hold any back
  const ratio = expert.bitsPerByte / dense.bitsPerByte;
  process.stdout.write(`${dimension}: bits per byte of held-out text × ${ratio.toFixed(2)}\n`);
}

// What was written is a model like any other. `describeModel` reads its sizes without reading a weight.
const { parameters, unitsPerLayer } = await describeModel(report.out);
process.stdout.write(`${report.out}: ${parameters.total} parameters, ${unitsPerLayer.ffn[0]} FFN units in the first layer\n`);
