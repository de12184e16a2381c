/**
 * @file A dense model against its experts in ONNX Runtime: all are exported, then run alternately, each in its own
 * process. Prompt and generation in tokens per second (medians over the rounds), resident memory, file size, and bits
 * per byte of text.
 *
 *     npm run bench:onnx -- DENSE EXPERT… [--types f32,q4] [--rounds 3] [--text FILE] [--out FOLDER]
 *
 * FILE is JSON Lines with a field `text`; without it, bits per byte are not measured. Exports are made once and kept in
 * FOLDER.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { exportModel } from "cusprun";
import { median, table } from "./tables.mjs";

const PROMPT_TOKENS = 256;
const NEW_TOKENS = 32;
/** Number of texts of the file that are measured, each cut to PROMPT_TOKENS tokens. */
const TEXTS = 24;
/** The prompt if no file is given. */
const FILLER = "The heart pumps blood through the vessels of the body, and the lungs fill it with oxygen. ".repeat(40);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    types: { type: "string", default: "f32,q4" },
    rounds: { type: "string", default: "3" },
    text: { type: "string" },
    out: { type: "string", default: "bench-results/onnx" },
  },
});
if (positionals.length < 2) throw new Error("pass the dense model and at least one expert");
const texts =
  values.text === undefined
    ? [FILLER]
    : readFileSync(values.text, "utf8")
        .trim()
        .split("\n")
        .slice(0, TEXTS)
        .map((line) => JSON.parse(line).text);

function measure(folder, newTokens) {
  const request = JSON.stringify({ promptTokens: PROMPT_TOKENS, newTokens, texts });
  const child = join(import.meta.dirname, "onnx-child.mjs");
  return JSON.parse(execFileSync(process.execPath, [child, folder], { encoding: "utf8", input: request }));
}

const entries = [];
for (const type of values.types.split(",")) {
  for (const model of positionals) {
    const folder = join(values.out, `${basename(model)}-${type}`);
    if (!existsSync(folder)) await exportModel({ model, to: "onnx", type, out: folder });
    const files = readdirSync(join(folder, "onnx"));
    const bytes = files.reduce((sum, name) => sum + statSync(join(folder, "onnx", name)).size, 0);
    entries.push({ type, model: basename(model), folder, bytes, runs: [] });
  }
}
for (let round = 0; round < Number(values.rounds); round++) {
  for (const entry of entries) entry.runs.push(measure(entry.folder, NEW_TOKENS));
}
const rows = entries.map(({ type, model, folder, bytes, runs }) => {
  const dense = entries.find((entry) => entry.type === type);
  const figure = (key) => median(runs.map((run) => run[key]));
  const against = (key) => {
    const ratio = figure(key) / median(dense.runs.map((run) => run[key]));
    return `${figure(key).toFixed(1)} (${ratio.toFixed(2)}×)`;
  };
  const mebibytes = (count) => `${(count / 2 ** 20).toFixed(0)} MiB`;
  const quality = values.text === undefined ? [] : [measure(folder, 0).bitsPerByte.toFixed(4)];
  return [
    type,
    model,
    mebibytes(bytes),
    against("prompt"),
    against("generation"),
    mebibytes(figure("residentBytes")),
    ...quality,
  ];
});
const header = ["type", "model", "file", "prompt tokens/s", "generated tokens/s", "resident memory"];
if (values.text !== undefined) header.push("bits per byte");
console.log(table(header, rows));
