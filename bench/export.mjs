/**
 * @file Writing a model in every form: seconds, values a second, peak resident memory and bytes, each in a process of its own; and llama.cpp's own quantiser on the same F16 file,
 * on one thread as ours is. Medians of the rounds.
 *
 *     CUSPRUN_RUNTIMES=… CUSPRUN_PYTHON=… npm run bench:export -- [--models smollm2,qwen2] [--rounds 3] [--out FOLDER]
 *
 * CUSPRUN_RUNTIMES is a folder with node-llama-cpp, CUSPRUN_PYTHON any Python; without the first llama.cpp's row is left out.
 */

import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeModel, resolveModel } from "../dist/index.js";
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
/** `llama_ftype` of Q4_K_M. */
const Q4_K_M_FTYPE = "15";

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
    rmSync(out, { recursive: true, force: true });
    await measure(`${to} ${type}`, total, out, [
      process.execPath,
      CLI,
      "export",
      path,
      "--to",
      to,
      "--type",
      type,
      "--out",
      out,
      "--overwrite",
      "--quiet",
    ]);
  }
  const libraries = join(process.env.CUSPRUN_RUNTIMES ?? "", "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
  if (process.env.CUSPRUN_RUNTIMES !== undefined) {
    const out = join(values.out, "llama-cpp.gguf");
    const script = join(import.meta.dirname, "llama_quantize.py");
    const command = [process.env.CUSPRUN_PYTHON ?? "python3", script, libraries, outOf("gguf", "F16"), out, Q4_K_M_FTYPE];
    await measure("llama.cpp, Q4_K_M from F16", total, out, command, {
      environment: { LD_LIBRARY_PATH: libraries },
      silent: true,
    });
  }

  async function measure(name, count, out, command, options = {}) {
    console.error(`${model}: ${name}`);
    const runs = [];
    for (let round = 0; round < Number(values.rounds); round++) runs.push(await runMeasured(command, options));
    const seconds = median(runs.map((run) => run.seconds));
    const peak = median(runs.map((run) => run.peakBytes));
    rows.push([
      model,
      name,
      seconds.toFixed(1),
      (count / seconds / 1e6).toFixed(0),
      (peak / 2 ** 20).toFixed(0),
      (bytesOf(out) / 2 ** 20).toFixed(0),
    ]);
  }
}
console.log(table(["model", "to", "seconds", "million values/s", "peak resident, MiB", "written, MiB"], rows));

function outOf(to, type) {
  return join(values.out, to === "gguf" ? `${type}.gguf` : `${to}-${type}`);
}

function bytesOf(path) {
  if (statSync(path).isFile()) return statSync(path).size;
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0);
}
