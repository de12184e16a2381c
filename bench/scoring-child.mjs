/**
 * @file One measurement of bench/scoring.mjs in its own process: JSON on standard input, JSON on standard output.
 * Scores documents, or runs a block with random weights of a given shape and, for comparison, one large matrix product.
 */

import { readFileSync } from "node:fs";
import { openCheckpoint, openScores } from "cusprun";
import {
  blockTensorShape,
  buildBlockGraph,
  energiesFor,
  GraphSession,
  OnnxGraph,
  ropeTable,
  scoreCorpora,
} from "cusprun/internals";

const request = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify("shape" in request ? await runBlock(request) : await score(request)));

async function score({ model, documents, kinds, scores: path }) {
  const checkpoint = await openCheckpoint(model);
  const calibration = documents.map((tokens, index) => ({ tokens: Int32Array.from(tokens), byteLength: 1, source: `${index}` }));
  const corpora = [{ dimension: "domain", label: "bench", calibration, heldOut: [] }];
  const startedAtMs = performance.now();
  await scoreCorpora(checkpoint, corpora, path, { kinds });
  const seconds = (performance.now() - startedAtMs) / 1000;
  await checkpoint.close();
  const scores = await openScores(path);
  const norms = {};
  for (const kind of kinds) {
    norms[kind] = [];
    for (let layer = 0; layer < scores.config.numHiddenLayers; layer++) {
      const values = await scores.read(layer, kind);
      norms[kind].push(Math.sqrt(values.reduce((sum, value) => sum + value * value, 0)));
    }
  }
  await scores.close();
  return { seconds, norms };
}

/**
 * GFLOP/s of a block over `tokens` tokens in documents of `length`, with its relevances as outputs, and of one product
 * of 2048 × 4096 × 4096; the best of three.
 */
async function runBlock({ shape, tokens, length, kinds }) {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = shape;
  const rows = tokens / length;
  const random = (dims, scale) => {
    const data = new Float32Array(dims.reduce((product, size) => product * size, 1));
    for (let index = 0; index < data.length; index++) data[index] = (Math.random() - 0.5) * scale;
    return { data, shape: dims };
  };
  const { cos, sin } = ropeTable({ theta: 10_000, scaling: null }, K, length);
  const feeds = {
    x: random([rows, length, D], 1),
    tokenMask: { data: new Float32Array(tokens).fill(1), shape: [rows, length] },
    cos: { data: cos, shape: [length, K / 2] },
    sin: { data: sin, shape: [length, K / 2] },
    ...Object.fromEntries(shape.roles.map((role) => [role, random(blockTensorShape(role, shape), 0.04)])),
  };
  const energies = { outputs: energiesFor(kinds), mapChange: "first-order" };
  const block = await GraphSession.create(buildBlockGraph(shape, { part: "block", energies }));
  const graph = new OnnxGraph();
  graph.output("y", graph.linear(graph.input("x", [2048, 4096]), graph.input("w", [4096, 4096])), [2048, 4096]);
  const product = await GraphSession.create(graph.serialize());
  const operands = { x: random([2048, 4096], 1), w: random([4096, 4096], 0.04) };
  // Projections, FFN, and the two products of the attention, which are computed without skipping masked positions.
  const blockFlops = 2 * tokens * (D * K * (2 * H + 2 * G) + 3 * D * F + 2 * length * H * K);
  const best = { block: Infinity, product: Infinity };
  for (let round = 0; round < 3; round++) {
    best.product = Math.min(best.product, await seconds(() => product.run(operands)));
    best.block = Math.min(best.block, await seconds(() => block.run(feeds)));
  }
  return { product: (2 * 2048 * 4096 * 4096) / best.product / 1e9, block: blockFlops / best.block / 1e9 };
}

async function seconds(work) {
  const startedAtMs = performance.now();
  await work();
  return (performance.now() - startedAtMs) / 1000;
}
