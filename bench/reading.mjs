/**
 * @file Reading and dequantising a model: every tensor as f32, against `cat` of the file and against the `gguf`
 * package, alternating, each in its own process. Medians over the rounds, in GB of the file per second and in values
 * per second. The file is in the system's cache, so that this measures the computation and not the disk.
 *
 *     CUSPRUN_PYTHON=… npm run bench:reading -- [--models smollm2,qwen2,gemma3] [--rounds 3]
 */

import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openCheckpoint, resolveModel } from "cusprun";
import { median, table } from "./tables.mjs";

const CHILD_FLAG = "--read";
/** Largest number of rows of a tensor to read at once, as scoring reads the embedding. */
const SLICE_ROWS = 8192;

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "smollm2,qwen2,gemma3" },
    rounds: { type: "string", default: "3" },
    [CHILD_FLAG.slice(2)]: { type: "string" },
  },
});
if (values.read === undefined) await compare();
else console.log(JSON.stringify(await readAll(values.read)));

async function readAll(path) {
  const checkpoint = await openCheckpoint(path);
  let count = 0;
  const startedAtMs = performance.now();
  for (const [name, { shape }] of checkpoint.tensors) {
    if (shape.length < 2) count += (await checkpoint.readFloat32(name)).length;
    else {
      for (let start = 0; start < shape[0]; start += SLICE_ROWS) {
        count += (await checkpoint.readFloat32(name, { start, end: Math.min(shape[0], start + SLICE_ROWS) })).length;
      }
    }
  }
  const seconds = (performance.now() - startedAtMs) / 1000;
  await checkpoint.close();
  return { seconds, count };
}

async function compare() {
  const rows = [];
  for (const model of values.models.split(",")) {
    const path = await resolveModel(model);
    const bytes = statSync(path).size;
    const seconds = { cat: [], cusprun: [], "gguf package": [] };
    let count = 0;
    for (let round = 0; round < Number(values.rounds); round++) {
      const startedAtMs = performance.now();
      execFileSync("sh", ["-c", 'cat "$1" > /dev/null', "sh", path]);
      seconds.cat.push((performance.now() - startedAtMs) / 1000);
      const child = [import.meta.filename, CHILD_FLAG, path];
      const own = JSON.parse(execFileSync(process.execPath, child, { encoding: "utf8" }));
      count = own.count;
      seconds.cusprun.push(own.seconds);
      const python = [join(import.meta.dirname, "reading_gguf.py"), path];
      seconds["gguf package"].push(Number(execFileSync(process.env.CUSPRUN_PYTHON, python, { encoding: "utf8" })));
    }
    for (const [side, times] of Object.entries(seconds)) {
      const time = median(times);
      rows.push([
        model,
        side,
        time.toFixed(2),
        (bytes / time / 1e9).toFixed(2),
        side === "cat" ? "" : (count / time / 1e6).toFixed(0),
      ]);
    }
  }
  const header = ["model", "by", "seconds", "GB/s of the file", "million values/s"];
  console.log(table(header, rows));
}
