/**
 * @file The quickstart: makes an English medical multiple-choice expert of SmolLM2-135M-Instruct, on half of the
 * documents that are taken by default. Run again, it reuses the model, the scores and the dense model's figures.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const job = [
  "prune",
  "smollm2",
  "--language",
  "en",
  "--domain",
  "medical",
  "--task",
  "multiple-choice",
  "--reduce",
  "20%",
  "--documents",
  "48",
];
const out = ["--out", "experts/smollm2-en-medical-multiple-choice", "--overwrite"];

const { status } = spawnSync(process.execPath, [main, ...job, ...out, ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
