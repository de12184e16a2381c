/**
 * @file Scoring against the same computation in PyTorch: one forward pass over the same documents in the same batches,
 * and all relevances from it; alternating, each side in its own process, medians over the rounds. The time of cusprun
 * includes reading and dequantising the weights, which it does layer by layer; PyTorch has them in memory before the
 * clock starts. The norms of each layer's relevances are compared, to check that both compute the same. Then the rate
 * of the block graphs against that of one large product.
 *
 *     CUSPRUN_PYTHON=… npm run bench:scoring -- [--models smollm2,qwen2] [--kinds ffn] [--documents 48] [--tokens 512]
 *         [--rounds 3] [--dtypes float32,bfloat16] [--batch-tokens 512] [--no-blocks] [--out FOLDER]
 *
 * `--kinds all` scores every structural unit. `--batch-tokens` is for PyTorch, `--no-blocks` omits the block graphs.
 * CUSPRUN_PYTHON is a Python with torch and transformers (tests/reference/requirements.txt).
 */

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exportModel, openCheckpoint, resolveModel, UNIT_KINDS } from "cusprun";
import { loadCorpora, makeBatches, openTokenizer, uniqueDocuments } from "cusprun/internals";
import { askProgram } from "./process.mjs";
import { median, table } from "./tables.mjs";

const CORPORA = { language: ["en"], domain: ["medical"] };
/** Largest relative difference of two norms: both sides sum in f32, in different orders. */
const TOLERANCE = 1e-3;
/** Layers of Llama 3 8B and of the two models. */
const SHAPES = {
  "Llama 3 8B": { hiddenSize: 4096, intermediateSize: 14336, numAttentionHeads: 32, numKeyValueHeads: 8, headDim: 128 },
  "Qwen2.5 0.5B": { hiddenSize: 896, intermediateSize: 4864, numAttentionHeads: 14, numKeyValueHeads: 2, headDim: 64 },
  SmolLM2: { hiddenSize: 576, intermediateSize: 1536, numAttentionHeads: 9, numKeyValueHeads: 3, headDim: 64 },
};
const ROLES = ["attentionNorm", "q", "k", "v", "o", "ffnNorm", "gate", "up", "down"];
const BLOCK_TOKENS = 2048;
const BLOCK_LENGTH = 256;

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "smollm2,qwen2" },
    kinds: { type: "string", default: "ffn" },
    documents: { type: "string", default: "48" },
    tokens: { type: "string", default: "512" },
    rounds: { type: "string", default: "3" },
    dtypes: { type: "string", default: "float32,bfloat16" },
    "batch-tokens": { type: "string", default: "512" },
    "no-blocks": { type: "boolean", default: false },
    out: { type: "string", default: "bench-results/scoring" },
  },
});
// Without entire layers, which are not a unit inside a block.
const kinds = values.kinds === "all" ? UNIT_KINDS.filter((kind) => kind !== "layer") : values.kinds.split(",");
const dtypes = values.dtypes.split(",").filter((dtype) => dtype !== "");
mkdirSync(values.out, { recursive: true });

const child = (program, script, request) => askProgram(program, script, { request, silent: true });

const results = { machine: { cpu: cpus()[0].model, cores: cpus().length }, kinds, scoring: {}, blocks: {} };
for (const model of values.models.split(",")) results.scoring[model] = await measure(model);
for (const [name, sizes] of values["no-blocks"] ? [] : Object.entries(SHAPES)) {
  const shape = {
    ...sizes,
    rmsNormEps: 1e-5,
    hiddenActivation: "silu",
    slidingWindow: null,
    attentionScale: sizes.headDim ** -0.5,
    roles: ROLES,
  };
  console.error(`a block of ${name}`);
  results.blocks[name] = child(process.execPath, "scoring-child.mjs", {
    shape,
    tokens: BLOCK_TOKENS,
    length: BLOCK_LENGTH,
    kinds: ["ffn"],
  });
}
writeFileSync(join(values.out, `results-${values.kinds.replaceAll(",", "-")}.json`), JSON.stringify(results, null, 1));
const scoringRows = Object.entries(results.scoring).flatMap(([model, { tokens, padding, sides }]) =>
  Object.entries(sides).map(([side, { seconds, against, gigaflops }]) => [
    model,
    side,
    (tokens / median(seconds)).toFixed(0),
    (median(sides.cusprun.seconds) / median(seconds)).toFixed(2),
    against === undefined ? "" : against.toExponential(0),
    gigaflops === undefined ? "" : gigaflops.toFixed(0),
    `${tokens} + ${padding}`,
  ]),
);
console.log(`${results.machine.cpu}, ${results.machine.cores} cores; ${kinds.join(", ")}\n`);
console.log(
  table(
    [
      "model",
      "side",
      "tokens/s",
      "relative to cusprun",
      "largest difference of a layer's norm",
      "one product, GFLOP/s",
      "tokens + padding",
    ],
    scoringRows,
  ),
);
const blockRows = Object.entries(results.blocks).map(([name, { block, product }]) => [
  name,
  block.toFixed(0),
  product.toFixed(0),
  `${((100 * block) / product).toFixed(0)}%`,
]);
console.log(`\n${table(["a block of", "GFLOP/s", `one product of ${BLOCK_TOKENS} × 4096 × 4096, GFLOP/s`, "share"], blockRows)}`);

async function measure(name) {
  const model = await resolveModel(name);
  const checkpoint = await openCheckpoint(model);
  const corpora = await loadCorpora(CORPORA, await openTokenizer(checkpoint), {
    documents: Number(values.documents),
    maxTokens: Number(values.tokens),
  });
  await checkpoint.close();
  const documents = uniqueDocuments(corpora.flatMap(({ calibration }) => calibration));
  const batches = makeBatches(documents, Number(values["batch-tokens"]));
  const folder = join(values.out, name);
  if (!existsSync(folder)) await exportModel({ model, to: "safetensors", type: "F32", out: folder });
  const torchRequest = {
    folder,
    threads: cpus().length,
    kinds,
    batches: batches.map(({ documents: indices, length, tokens }) => ({
      tokens: indices.map((_, row) => [...tokens.subarray(row * length, (row + 1) * length)]),
      lengths: indices.map((index) => documents[index].tokens.length),
    })),
  };
  const request = {
    model,
    documents: documents.map(({ tokens }) => [...tokens]),
    kinds,
    scores: join(values.out, `${name}.scores.safetensors`),
  };
  const sides = { cusprun: { seconds: [] }, ...Object.fromEntries(dtypes.map((dtype) => [`PyTorch ${dtype}`, { seconds: [] }])) };
  for (let round = 0; round < Number(values.rounds); round++) {
    console.error(`${name}: round ${round + 1}`);
    const own = child(process.execPath, "scoring-child.mjs", request);
    sides.cusprun.seconds.push(own.seconds);
    for (const dtype of dtypes) {
      const side = sides[`PyTorch ${dtype}`];
      const other = child(process.env.CUSPRUN_PYTHON, "scoring_torch.py", { ...torchRequest, dtype });
      side.seconds.push(other.seconds);
      side.gigaflops = other.gigaflops;
      side.against = largestDifference(own.norms, other.norms);
      if (dtype === "float32" && !(side.against < TOLERANCE)) throw new Error(`${name}: relevances differ by ${side.against}`);
    }
  }
  const tokens = documents.reduce((sum, document) => sum + document.tokens.length, 0);
  return { tokens, padding: batches.reduce((sum, batch) => sum + batch.tokens.length, 0) - tokens, sides };
}

function largestDifference(own, other) {
  const differences = Object.entries(own).flatMap(([kind, norms]) =>
    norms.map((norm, layer) => Math.abs(other[kind][layer] / norm - 1)),
  );
  return Math.max(...differences);
}
