/**
 * @file Loads experts of the real models in stock runtimes and compares them with our own forward pass: writes
 * docs/compatibility.md. The result of each table row is saved, so that an interrupted run can continue.
 *
 *     npm run compatibility -- [--models smollm2,qwen2,gemma3] [--out FOLDER] [--fresh]
 *         [--formats hf,gguf-f16,gguf-q4_k_m,gguf-input,onnx-f32,onnx-q4]
 *
 * Needs CUSPRUN_RUNTIMES and CUSPRUN_PYTHON, as `cusprun verify` does, and in CUSPRUN_PYTHON_ONNX a Python with onnx
 * and onnxruntime for their own quantisation. The experts are scored on few documents and not repaired: the question is
 * whether the runtimes compute what was written, not how good the experts are.
 */

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { applyPlan, exportModel, resolveModel, scoreModel, selectFromScores, verifyExpert } from "cusprun";
import { readGgufHeader } from "cusprun/internals";
import { llamaQuantizeCommand } from "./llama-quantize.mjs";

/** Columns of the page's table. */
const COLUMNS = [
  "model",
  "layout",
  "file",
  "MB",
  "runtime",
  "verdict",
  "logits error",
  "divergence",
  "greedy text",
  "perplexity ours, theirs",
  "against the runtime's own quantisation",
];

const MODELS = { smollm2: "SmolLM2-135M-Instruct", qwen2: "Qwen2.5-Coder-0.5B-Instruct", gemma3: "Gemma 3 270M" };
const LAYOUTS = ["uniform", "ragged"];
const CORPORA = { corpora: { language: ["en"], domain: ["medical"] }, corpusOptions: { documents: 8, maxTokens: 128 } };

/**
 * The formats: `make` writes the file or folder to verify, from an expert's folder (Hugging Face and GGUF in F16, from
 * the same weights); `compare` compares it with the runtime's own quantisation. A new format is one more entry.
 */
const FORMATS = {
  hf: { title: "Hugging Face, BF16", make: ({ hf }) => hf },
  "gguf-f16": { title: "GGUF, F16", make: ({ f16 }) => f16 },
  "gguf-q4_k_m": { title: "GGUF, Q4_K_M", make: quantized, compare: compareWithLlama },
  "gguf-input": { title: "GGUF, types of the input", make: ({ asInput }) => asInput },
  "onnx-f32": { title: "ONNX, f32", make: (files, home) => onnx(files, home, "f32") },
  "onnx-q4": { title: "ONNX, q4", make: (files, home) => onnx(files, home, "q4"), compare: compareWithOnnxRuntime },
};
/** Number of texts, and tokens of each, for the comparison of two quantisations to ONNX. */
const COMPARED = { texts: 24, promptTokens: 192 };

const { values } = parseArgs({
  options: {
    models: { type: "string", default: Object.keys(MODELS).join(",") },
    formats: { type: "string", default: Object.keys(FORMATS).join(",") },
    out: { type: "string", default: "bench-results/compatibility" },
    fresh: { type: "boolean", default: false },
  },
});
const folder = values.out;
const resultsPath = join(folder, "results.json");
if (values.fresh) rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const results = existsSync(resultsPath) ? JSON.parse(readFileSync(resultsPath, "utf8")) : {};

for (const model of values.models.split(",")) {
  for (const layout of LAYOUTS) {
    const missing = values.formats.split(",").filter((format) => results[`${model} ${layout} ${format}`] === undefined);
    if (missing.length === 0) continue;
    const home = join(folder, `${model}-${layout}`);
    const files = await makeExperts(model, layout, home);
    for (const format of missing) {
      const key = `${model} ${layout} ${format}`;
      const found = await verify(FORMATS[format], files, home).catch((error) => ({ refused: error.message }));
      keep(key, found);
      say(`${key}: ${JSON.stringify(found).slice(0, 200)}`);
    }
    // The largest of them are float copies of the entire model.
    rmSync(home, { recursive: true, force: true });
  }
}
writeFileSync("docs/compatibility.md", table());
say("Wrote docs/compatibility.md");

/**
 * Scores once, selects, and writes the expert in every form that the formats start from.
 * @returns a path for each form, or the error if cusprun refuses to write it.
 */
async function makeExperts(model, layout, home) {
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  const path = await resolveModel(model);
  const scores = join(folder, `${model}.scores.safetensors`);
  if (!existsSync(scores)) {
    say(`${model}: scoring`);
    await scoreModel({ model: path, ...CORPORA, selection: { vocabulary: "keep" }, out: scores });
  }
  const plan = join(home, "plan.json");
  await selectFromScores({ scores, selection: { budget: "20% of blocks", layout, vocabulary: "keep" }, out: plan });
  const apply = async (name, options) => {
    const out = join(home, name);
    try {
      const { files } = await applyPlan({ model: path, plan, out, ...options });
      const gguf = files.find((file) => file.endsWith(".gguf"));
      return gguf === undefined ? out : join(out, gguf);
    } catch (error) {
      return error;
    }
  };
  return {
    hf: await apply("hf", { formats: ["hf"] }),
    f16: await apply("f16", { formats: ["gguf"], type: "F16" }),
    asInput: await apply("input", { formats: ["gguf"] }),
  };
}

async function quantized({ f16 }, home) {
  if (f16 instanceof Error) return f16;
  const out = join(home, "q4_k_m.gguf");
  await exportModel({ model: f16, to: "gguf", type: "Q4_K_M", out, overwrite: true });
  return out;
}

async function onnx({ hf }, home, type) {
  if (hf instanceof Error) return hf;
  const out = join(home, `onnx-${type}`);
  if (!existsSync(out)) await exportModel({ model: hf, to: "onnx", type, out });
  return out;
}

/**
 * Relative difference in perplexity between our quantisation to 4 bits and ONNX Runtime's of the same weights, both run
 * in ONNX Runtime.
 */
async function compareWithOnnxRuntime(path, files, home) {
  const theirs = join(home, "onnx-q4-theirs");
  cpSync(path, theirs, { recursive: true });
  const [float, ours, out] = [await onnx(files, home, "f32"), path, theirs].map((at) => onnxFileOf(at));
  const script = join(import.meta.dirname, "onnx_quantize.py");
  run([process.env.CUSPRUN_PYTHON_ONNX ?? "python3", script, float, ours, out], process.env);
  const text = readFileSync(join(import.meta.dirname, "../presets/general.jsonl"), "utf8");
  const texts = text
    .trim()
    .split("\n")
    .slice(0, COMPARED.texts)
    .map((line) => JSON.parse(line).text);
  const bits = [path, theirs].map((folderOf) => {
    const input = JSON.stringify({ promptTokens: COMPARED.promptTokens, newTokens: 0, texts });
    const done = spawnSync(process.execPath, [join(import.meta.dirname, "onnx-child.mjs"), folderOf], { input });
    if (done.status !== 0) throw new Error(String(done.stderr).trim().split("\n").at(-1));
    return JSON.parse(String(done.stdout));
  });
  return { reference: Math.exp(bits[0].natsPerToken - bits[1].natsPerToken) - 1 };
}

function onnxFileOf(at) {
  const folderOf = join(at, "onnx");
  return join(
    folderOf,
    readdirSync(folderOf).find((name) => name.endsWith(".onnx")),
  );
}

function run([program, ...args], env) {
  const done = spawnSync(program, args, { env });
  if (done.status !== 0) throw new Error(String(done.stderr).trim().split("\n").at(-1));
}

/** llama.cpp's own quantisation of the same F16 file. */
function llamaQuantized({ f16 }, home) {
  const out = join(home, "q4_k_m-llama.gguf");
  const { command, environment } = llamaQuantizeCommand(f16, out);
  run(command, { ...process.env, ...environment });
  return out;
}

async function compareWithLlama(path, files, home, ours) {
  const other = llamaQuantized(files, home);
  const difference = await differingTensors(path, other);
  if (difference === 0) return { reference: "byte-identical" };
  const theirs = (await verifyExpert({ expert: other })).verifications[0].comparison;
  return { reference: ours.perplexity.theirs / theirs.perplexity.theirs - 1, difference };
}

async function verify({ make, compare }, files, home) {
  const path = await make(files, home);
  if (path instanceof Error) return { refused: path.message };
  const { verifications } = await verifyExpert({ expert: path, against: files.hf, trustRemoteCode: true });
  const found = { bytes: bytesOf(path), verification: verifications[0] };
  return compare === undefined ? found : { ...found, ...(await compare(path, files, home, verifications[0].comparison)) };
}

function bytesOf(path) {
  if (statSync(path).isFile()) return statSync(path).size;
  const weights = readdirSync(path, { recursive: true }).filter((name) => /\.safetensors$|\.onnx(_data)?$/.test(name));
  return weights.reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
}

/** Number of tensors whose type or bytes differ. */
async function differingTensors(path, other) {
  const read = async (file) => {
    const handle = await open(file);
    const { tensors } = await readGgufHeader(handle, file);
    await handle.close();
    return { tensors, bytes: readFileSync(file) };
  };
  const [ours, theirs] = [await read(path), await read(other)];
  const slice = ({ bytes }, { startByte, byteLength }) => bytes.subarray(startByte, startByte + byteLength);
  const names = [...new Set([...ours.tensors.keys(), ...theirs.tensors.keys()])];
  return names.filter((name) => {
    const [a, b] = [ours.tensors.get(name), theirs.tensors.get(name)];
    return a === undefined || b === undefined || a.dtype !== b.dtype || !slice(ours, a).equals(slice(theirs, b));
  }).length;
}

function keep(key, found) {
  results[key] = found;
  writeFileSync(resultsPath, JSON.stringify(results, null, 1));
}

function table() {
  const versions = new Set();
  const rows = Object.keys(MODELS).flatMap((model) =>
    LAYOUTS.flatMap((layout) =>
      Object.entries(FORMATS).flatMap(([format, { title }]) => {
        const found = results[`${model} ${layout} ${format}`];
        if (found === undefined) return [];
        return [`| ${[MODELS[model], layout, title, ...cells(found, versions)].join(" | ")} |`];
      }),
    ),
  );
  return `# Compatibility

Made by \`npm run compatibility\` with ${[...versions].join(", ")}: experts of the
real models, with 20% of the blocks removed, as the stock runtime loads them. The columns:

- "logits error": the largest difference of a log probability from our own forward pass on the same file, as a share of
  the largest one, over about 40 tokens;
- "divergence": the mean Kullback-Leibler divergence of the next-token distributions, in nats;
- "greedy text": the tokens of a continuation with the runtime's cache that equal ours;
- "against the runtime's own quantisation": a comparison with llama.cpp's quantisation of the same F16 file, and ONNX
  Runtime's of the same f32 weights (perplexity of 24 texts).

| ${COLUMNS.join(" | ")} |
|${" --- |".repeat(COLUMNS.length)}
${rows.join("\n")}

A float file agrees up to an error of 1%, a quantised one up to a divergence of 0.05: there, runtimes quantise the
activations to 8 bits as well, and we do not. ONNX in q4 is compared with the float weights that it was made from, since
cusprun does not read ONNX: its divergence is the cost of 4 bits, and the last column compares it with ONNX Runtime's
own quantiser. A dash is a layout that no architecture of llama.cpp holds, or that is refused with its reason
([export.md](export.md)).
`;
}

function cells({ refused, bytes, verification, reference }, versions) {
  if (refused !== undefined) return ["", "", "—", "", "", "", "", ""];
  const { version, status, comparison, runtime } = verification;
  if (version !== null) versions.add(version);
  const named = [(bytes / 1e6).toFixed(0), runtime, status];
  if (comparison === null) return [...named, "", "", "", "", ""];
  const { relativeError, divergence, greedy, perplexity } = comparison;
  const against =
    reference === undefined ? "" : reference === "byte-identical" ? reference : `perplexity ${(100 * reference).toFixed(2)}%`;
  return [
    ...named,
    `${(100 * relativeError).toPrecision(2)}%`,
    divergence.toPrecision(2),
    `${greedy.agreed} of ${greedy.of}`,
    `${perplexity.ours.toFixed(2)}, ${perplexity.theirs.toFixed(2)}`,
    against,
  ];
}

function say(text) {
  process.stderr.write(`${text}\n`);
}
