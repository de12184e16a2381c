/**
 * @file Time and memory for a model larger than memory: writes a checkpoint with random weights in the shapes of a real
 * model, scores it, selects, and applies the plan to safetensors and GGUF, each step in a process whose memory the
 * kernel limits. Prints a table of seconds and peak resident memory, and how often memory was reclaimed at the limit.
 *
 *     npm run bench:memory -- [--shape 8b] [--layers 32] [--limit 6144] [--documents 8] [--tokens 128] [--only-score]
 *         [--out FOLDER] [--keep]
 *
 * `--limit` is in MiB, enforced by a memory cgroup (needs root on Linux); 0 means no limit. The tokenizer is SmolLM2's;
 * the rows of the vocabulary beyond it are unused. `--layers 8,16,32` and `--documents 8,32,128` run every combination;
 * with several numbers of documents, cost.svg plots the time of scoring.
 */

import { randomFillSync } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as Plot from "@observablehq/plot";
import { openCheckpoint, resolveModel } from "cusprun";
import { writePlot } from "./plot.mjs";
import { runMeasured } from "./process.mjs";
import { table } from "./tables.mjs";

/**
 * Llama 3 8B and 70B, and a small shape with cheap layers: hidden size D, query heads H, KV groups G, head size K, FFN
 * width F, vocabulary V.
 */
const SHAPES = {
  "8b": { D: 4096, H: 32, G: 8, K: 128, F: 14336, V: 128256, layers: 32 },
  "70b": { D: 8192, H: 64, G: 8, K: 128, F: 28672, V: 128256, layers: 80 },
  small: { D: 1024, H: 16, G: 4, K: 64, F: 4096, V: 49152, layers: 8 },
};
/** Bytes of random BF16 values, repeated to fill the tensors. */
const FILL_BYTES = 2 ** 24;
const CLI = join(import.meta.dirname, "../dist/cli/main.js");

const { values } = parseArgs({
  options: {
    shape: { type: "string", default: "8b" },
    layers: { type: "string" },
    limit: { type: "string", default: "6144" },
    documents: { type: "string", default: "8" },
    tokens: { type: "string", default: "128" },
    "only-score": { type: "boolean", default: false },
    out: { type: "string", default: "bench-results/memory" },
    keep: { type: "boolean", default: false },
  },
});
const shape = SHAPES[values.shape];
const gigabytes = (bytes) => (bytes / 2 ** 30).toFixed(3);
const numbers = (text) => text.split(",").map(Number);
const documentCounts = numbers(values.documents);
const rows = [];
for (const layers of numbers(values.layers ?? String(shape.layers))) rows.push(...(await measure(layers)));
const cells = rows.map(({ layers, documents, step, seconds, peakBytes, limitHits }) => [
  layers,
  documents,
  step,
  seconds.toFixed(1),
  gigabytes(peakBytes),
  limitHits === null ? "" : limitHits,
]);
const header = ["layers", "documents of a corpus", "step", "seconds", "peak resident, GiB", "reclaims at the limit"];
const limited = values.limit === "0" ? "no limit" : `at most ${values.limit} MiB`;
console.log(`${values.shape}, ${limited}, documents of ${values.tokens} tokens, ${gigabytes(totalmem())} GiB in the machine\n`);
console.log(table(header, cells));
if (documentCounts.length > 1) await plotCost(rows.filter(({ step }) => step === "score"));

/** Plots seconds against documents, one line for each number of layers. */
async function plotCost(points) {
  const place = { x: "documents", y: "seconds" };
  const label = ({ layers }) => `${layers} layers`;
  await writePlot(join(values.out, "cost.svg"), {
    width: 640,
    marginLeft: 50,
    marginRight: 90,
    grid: true,
    x: { label: "documents of each corpus →", domain: [0, Math.max(...documentCounts)] },
    y: { label: "↑ seconds to score", zero: true },
    marks: [
      Plot.lineY(points, { ...place, stroke: label }),
      Plot.dot(points, { ...place, stroke: label, fill: "white" }),
      Plot.text(points, Plot.selectLast({ ...place, text: label, z: label, textAnchor: "start", dx: 8 })),
    ],
  });
}

async function measure(layers) {
  const home = join(values.out, `${values.shape}-${layers}`);
  rmSync(home, { recursive: true, force: true });
  const model = join(home, "model");
  const startedAtMs = performance.now();
  const bytes = await writeModel(model, layers);
  console.error(`wrote ${gigabytes(bytes)} GiB in ${((performance.now() - startedAtMs) / 1000).toFixed(0)} s`);
  const [scores, plan, expert] = ["scores.safetensors", "plan.json", "expert"].map((name) => join(home, name));
  const measured = [];
  for (const documents of documentCounts) {
    const corpora = ["--language", "en", "--domain", "medical", "--documents", String(documents), "--max-tokens", values.tokens];
    const steps = {
      score: ["score", model, ...corpora, "--out", scores, "--overwrite"],
      ...(values["only-score"]
        ? {}
        : {
            select: ["select", scores, "--reduce", "25% of blocks", "--out", plan, "--overwrite"],
            "apply: safetensors, GGUF": ["apply", model, "--plan", plan, "--formats", "hf,gguf", "--out", expert, "--overwrite"],
          }),
    };
    for (const [step, args] of Object.entries(steps)) {
      console.error(`${layers} layers, ${documents} documents: ${step}`);
      measured.push({ layers, documents, step, ...(await run(args)) });
    }
  }
  if (!values.keep) rmSync(home, { recursive: true });
  return measured;
}

/** Writes one file per layer and one for the other tensors. @returns bytes of all tensors. */
async function writeModel(folder, layers) {
  const { D, H, G, K, F, V } = shape;
  mkdirSync(folder, { recursive: true });
  const source = await openCheckpoint(await resolveModel("smollm2"));
  for (const [name, text] of (await source.readTokenizerFiles()).files) writeFileSync(join(folder, name), text);
  await source.close();
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: D,
    intermediate_size: F,
    num_hidden_layers: layers,
    num_attention_heads: H,
    num_key_value_heads: G,
    head_dim: K,
    vocab_size: V,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    hidden_act: "silu",
    tie_word_embeddings: false,
    torch_dtype: "bfloat16",
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  const fill = bfloat16Noise();
  const block = (layer) => ({
    [`model.layers.${layer}.input_layernorm.weight`]: [D],
    [`model.layers.${layer}.post_attention_layernorm.weight`]: [D],
    [`model.layers.${layer}.self_attn.q_proj.weight`]: [H * K, D],
    [`model.layers.${layer}.self_attn.k_proj.weight`]: [G * K, D],
    [`model.layers.${layer}.self_attn.v_proj.weight`]: [G * K, D],
    [`model.layers.${layer}.self_attn.o_proj.weight`]: [D, H * K],
    [`model.layers.${layer}.mlp.gate_proj.weight`]: [F, D],
    [`model.layers.${layer}.mlp.up_proj.weight`]: [F, D],
    [`model.layers.${layer}.mlp.down_proj.weight`]: [D, F],
  });
  const rest = { "model.embed_tokens.weight": [V, D], "model.norm.weight": [D], "lm_head.weight": [V, D] };
  const files = [rest, ...Array.from({ length: layers }, (_, layer) => block(layer))];
  const weightMap = {};
  let total = 0;
  for (const [index, tensors] of files.entries()) {
    const name = `model-${String(index + 1).padStart(5, "0")}-of-${String(files.length).padStart(5, "0")}.safetensors`;
    for (const tensor of Object.keys(tensors)) weightMap[tensor] = name;
    total += writeSafetensors(join(folder, name), tensors, fill);
  }
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
  return total;
}

/** Values with random signs and magnitudes up to about 0.03, as in trained matrices. */
function bfloat16Noise() {
  const bits = new Uint16Array(FILL_BYTES / 2);
  randomFillSync(bits);
  // Sign, an exponent of 2^-9 to 2^-6, mantissa.
  for (let i = 0; i < bits.length; i++) bits[i] = (bits[i] & 0x807f) | ((118 + ((bits[i] >> 7) & 3)) << 7);
  return Buffer.from(bits.buffer);
}

function writeSafetensors(path, tensors, fill) {
  const header = {};
  let end = 0;
  for (const [name, dims] of Object.entries(tensors)) {
    const start = end;
    end += 2 * dims.reduce((product, size) => product * size, 1);
    header[name] = { dtype: "BF16", shape: dims, data_offsets: [start, end] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(path, "w");
  writeSync(file, size);
  writeSync(file, text);
  for (const [name, { data_offsets: offsets }] of Object.entries(header)) {
    const length = offsets[1] - offsets[0];
    // 1 in BF16.
    const source = name.endsWith("norm.weight") ? Buffer.from(new Uint16Array(length / 2).fill(0x3f80).buffer) : fill;
    for (let written = 0; written < length;) written += writeSync(file, source, 0, Math.min(source.length, length - written));
  }
  closeSync(file);
  return end;
}

/** Runs the command in its own process, under the limit. */
async function run(args) {
  const group = values.limit === "0" ? null : makeGroup(Number(values.limit) * 2 ** 20);
  const shell = ["/bin/sh", "-c", group === null ? 'exec "$@"' : `echo $$ > "${group.procs}" && exec "$@"`, "sh"];
  try {
    const measured = await runMeasured([...shell, process.execPath, CLI, ...args, "--quiet"]);
    return { ...measured, limitHits: group === null ? null : Number(readFileSync(group.hits, "utf8").match(/\d+/)[0]) };
  } finally {
    if (group !== null) rmdirSync(group.folder);
  }
}

/** Makes a memory cgroup, of version 2 or 1, below the cgroup of this process. */
function makeGroup(limitBytes) {
  const own = readFileSync("/proc/self/cgroup", "utf8");
  const v1 = own.match(/^\d+:memory:(.*)$/m)?.[1];
  const base = v1 === undefined ? `/sys/fs/cgroup${own.match(/^0::(.*)$/m)[1]}` : `/sys/fs/cgroup/memory${v1}`;
  const folder = join(existsSync(base) ? base : "/sys/fs/cgroup/memory", `cusprun-bench-${process.pid}`);
  mkdirSync(folder);
  writeFileSync(join(folder, v1 === undefined ? "memory.max" : "memory.limit_in_bytes"), String(limitBytes));
  return {
    folder,
    procs: join(folder, "cgroup.procs"),
    hits: join(folder, v1 === undefined ? "memory.events" : "memory.failcnt"),
  };
}
