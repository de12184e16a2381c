/**
 * @file One model in ONNX Runtime, in its own process to measure its memory: prompt and generation in tokens per
 * second, resident memory; or, with 0 new tokens, bits per byte. Prints one line of JSON.
 *
 *     echo '{"promptTokens":256,"newTokens":32,"texts":["…"]}' | node bench/onnx-child.mjs FOLDER
 */

import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { createTokenizer } from "cusprun/internals";

const [folder] = process.argv.slice(2);
const { promptTokens, newTokens, texts } = JSON.parse(readFileSync(0, "utf8"));
const readJson = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
const tokenizer = createTokenizer(
  { tokenizerJson: readJson("tokenizer.json"), tokenizerConfig: readJson("tokenizer_config.json"), files: new Map() },
  folder,
);
const model = readdirSync(join(folder, "onnx")).find((name) => name.endsWith(".onnx"));
const before = process.memoryUsage().rss;
const session = await InferenceSession.create(join(folder, "onnx", model), {
  intraOpNumThreads: cpus().length,
  logSeverityLevel: 3,
});
const loaded = process.memoryUsage().rss;

function emptyCache() {
  const inputs = session.inputMetadata.filter(({ name }) => name.startsWith("past_key_values."));
  return inputs.map(({ name, shape: [, heads, , size] }) => [
    name,
    new Tensor("float32", new Float32Array(0), [1, heads, 0, size]),
  ]);
}

async function step(ids, cache, kept) {
  const total = cache[0][1].dims[2] + ids.length;
  const outputs = await session.run({
    input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
    attention_mask: new Tensor("int64", new BigInt64Array(total).fill(1n), [1, total]),
    num_logits_to_keep: new Tensor("int64", BigInt64Array.of(BigInt(kept)), []),
    ...Object.fromEntries(cache),
  });
  const next = Object.entries(outputs).filter(([name]) => name.startsWith("present."));
  return { logits: outputs.logits.data, cache: next.map(([name, value]) => [name.replace("present", "past_key_values"), value]) };
}

function largest(logits) {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id] > logits[best]) best = id;
  return best;
}

/** Tokens per second of a prompt, and of the tokens generated after it one by one. */
async function rates(ids) {
  let start = performance.now();
  let { logits, cache } = await step(ids, emptyCache(), 1);
  const prompt = (1000 * ids.length) / (performance.now() - start);
  start = performance.now();
  for (let made = 0; made < newTokens; made++) ({ logits, cache } = await step([largest(logits)], cache, 1));
  return { prompt, generation: (1000 * newTokens) / (performance.now() - start) };
}

/** Negative log-likelihood of a text in nats, without its first token. */
async function nats(ids) {
  const { logits } = await step(ids, emptyCache(), 0);
  const width = logits.length / ids.length;
  let sum = 0;
  for (let t = 0; t + 1 < ids.length; t++) {
    const row = logits.subarray(t * width, (t + 1) * width);
    const most = row.reduce((a, b) => Math.max(a, b));
    let total = 0;
    for (const value of row) total += Math.exp(value - most);
    sum += most + Math.log(total) - row[ids[t + 1]];
  }
  return sum;
}

const result = { loadedBytes: loaded - before };
if (newTokens > 0) {
  const ids = tokenizer.encode(texts.join(" ")).slice(0, promptTokens);
  await rates(ids.slice(0, 16));
  Object.assign(result, await rates(ids), {
    residentBytes: process.memoryUsage().rss,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  });
} else {
  let bits = 0;
  let bytes = 0;
  let predicted = 0;
  for (const text of texts) {
    const ids = tokenizer.encode(text).slice(0, promptTokens);
    bits += (await nats(ids)) / Math.LN2;
    bytes += Buffer.byteLength(tokenizer.decode(ids.slice(1)));
    predicted += ids.length - 1;
  }
  Object.assign(result, { bitsPerByte: bits / bytes, natsPerToken: (bits * Math.LN2) / predicted });
}
console.log(JSON.stringify(result));
