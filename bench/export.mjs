/**
 * @file Export of a model to every format: seconds, values per second, peak resident memory and bytes written, each in
 * its own process; and llama.cpp's quantiser on the same F16 file, on one thread, as ours is. Medians over the rounds.
 *
 *     CUSPRUN_RUNTIMES=… CUSPRUN_PYTHON=… npm run bench:export -- [--models smollm2,qwen2] [--rounds 3] [--out FOLDER]
 *
 * CUSPRUN_RUNTIMES is a folder with node-llama-cpp, CUSPRUN_PYTHON any Python. Without the first, the row of llama.cpp
 * is left out.
 */

import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeModel, resolveModel } from "cusprun";
import { llamaQuantizeCommand } from "./llama-quantize.mjs";
import { runMeasured } from "./process.mjs";
import { median, table } from "./tables.mjs";

const CLI = join(import.meta.dirname, "../dist/cli/main.js");
const FORMS = [
  ["safetensors", "BF16"],
  ["gguf", "F16"],
  ["gguf", "Q8_0"],
  ["gguf", "Q4_K_M"],
  ["onnx", "f32"],
  ["onnx", "q8"],
  ["onnx", "q4"],
];
const { values } = parseArgs({
  options: {
    models: { type: "string", default: "smollm2,qwen2" },
    rounds: { type: "string", default: "3" },
    out: { type: "string", default: "bench-results/export" },
  },
});
mkdirSync(values.out, { recursive: true });
const rows = [];
for (const model of values.models.split(",")) {
  const path = await resolveModel(model);
  const { total } = (await describeModel(path)).parameters;
  for (const [to, type] of FORMS) {
    const out = outOf(to, type);
    const args = ["export", path, "--to", to, "--type", type, "--out", out, "--overwrite", "--quiet"];
    rows.push([model, `${to} ${type}`, ...(await measure(total, out, [process.execPath, CLI, ...args], {}))]);
  }
  if (process.env.CUSPRUN_RUNTIMES !== undefined) {
    const out = join(values.out, "llama-cpp.gguf");
    const { command, environment } = llamaQuantizeCommand(outOf("gguf", "F16"), out);
    rows.push([model, "llama.cpp, Q4_K_M from F16", ...(await measure(total, out, command, { environment, silent: true }))]);
  }
}
console.log(table(["model", "to", "seconds", "million values/s", "peak resident, MiB", "written, MiB"], rows));

/** The cells of a row that are measured. */
async function measure(parameters, out, command, options) {
  console.error(command.slice(1).join(" "));
  const runs = [];
  for (let round = 0; round < Number(values.rounds); round++) runs.push(await runMeasured(command, options));
  const seconds = median(runs.map((run) => run.seconds));
  const peak = median(runs.map((run) => run.peakBytes));
  const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(0);
  return [seconds.toFixed(1), (parameters / seconds / 1e6).toFixed(0), mebibytes(peak), mebibytes(bytesOf(out))];
}

function outOf(to, type) {
  return join(values.out, to === "gguf" ? `${type}.gguf` : `${to}-${type}`);
}

function bytesOf(path) {
  if (statSync(path).isFile()) return statSync(path).size;
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0);
}
