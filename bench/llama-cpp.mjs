/**
 * @file A dense model against its experts in llama.cpp, alternating within one run: prompt and generation in tokens per
 * second, resident memory, file size. Prints a table as in docs/performance.md.
 *
 *     npm run bench:llama-cpp -- DENSE.gguf EXPERT.gguf… [--rounds 5] [--threads 2] [--prompt 256] [--generate 64]
 *
 * Needs CUSPRUN_RUNTIMES, as `cusprun verify` does. Each measurement is a separate process, and the result is the
 * median over the rounds. Run it on an idle machine.
 */

import { spawnSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

/** Time limit of one measurement, so that a runtime that hangs ends the run with an error that names the file. */
const TIMEOUT_MS = 180_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: String(cpus().length) },
    prompt: { type: "string", default: "256" },
    generate: { type: "string", default: "64" },
    measure: { type: "boolean", default: false },
  },
});

if (values.measure) await measure(positionals[0]);
else compare(positionals);

/** Measures one model once, in the child process. */
async function measure(path) {
  const entry = createRequire(join(process.env.CUSPRUN_RUNTIMES ?? ".", "package.json")).resolve("node-llama-cpp");
  const { getLlama } = await import(pathToFileURL(entry).href);
  const threads = Number(values.threads);
  const [promptLength, newTokens] = [Number(values.prompt), Number(values.generate)];
  const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: threads });
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({ contextSize: promptLength + newTokens + 16, threads, batchSize: promptLength });
  const sequence = context.getSequence();
  // Arbitrary ids: the time does not depend on the text.
  const ids = Array.from({ length: promptLength }, (_, index) => 300 + ((index * 37) % 5000));
  await sequence.evaluateWithoutGeneratingNewTokens(ids.slice(0, 8));
  await sequence.clearHistory();
  const startedAtMs = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(ids);
  const promptMs = performance.now() - startedAtMs;
  let generated = 0;
  const generatingAtMs = performance.now();
  for await (const _ of sequence.evaluate([300], { temperature: 0, yieldEogToken: true })) if (++generated === newTokens) break;
  const generateMs = performance.now() - generatingAtMs;
  const result = {
    prompt: (1000 * promptLength) / promptMs,
    generation: (1000 * generated) / generateMs,
    memoryBytes: residentBytes(),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

/** Peak resident memory of this process in bytes. */
function residentBytes() {
  const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

function compare(paths) {
  const rounds = Number(values.rounds);
  const measured = paths.map(() => []);
  for (let round = 0; round < rounds; round++) {
    paths.forEach((path, index) => {
      const options = ["threads", "prompt", "generate"].flatMap((name) => [`--${name}`, values[name]]);
      const done = spawnSync(process.execPath, [import.meta.filename, path, "--measure", ...options], {
        timeout: TIMEOUT_MS,
        killSignal: "SIGKILL",
        encoding: "utf8",
      });
      if (done.status !== 0) throw new Error(`${path}: ${done.stderr || "no answer in time"}`);
      const result = JSON.parse(done.stdout.trim().split("\n").at(-1));
      measured[index].push(result);
      process.stderr.write(`round ${round + 1}, ${basename(path)}: ${JSON.stringify(result)}\n`);
    });
  }
  process.stdout.write(`${table(paths, measured)}\n`);
}

function table(paths, measured) {
  const median = (index, name) => {
    const sorted = measured[index].map((result) => result[name]).toSorted((a, b) => a - b);
    const middle = (sorted.length - 1) / 2;
    return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
  };
  const rows = paths.map((path, index) => {
    const times = (name) => {
      const value = median(index, name);
      return `${value.toFixed(1)}${index === 0 ? "" : ` (${(value / median(0, name)).toFixed(2)}×)`}`;
    };
    const share = (value, dense) =>
      `${(value / 1e6).toFixed(1)} MB${index === 0 ? "" : ` (${((100 * value) / dense).toFixed(0)}%)`}`;
    const size = share(statSync(path).size, statSync(paths[0]).size);
    const memory = share(median(index, "memoryBytes"), median(0, "memoryBytes"));
    return `| ${[basename(path), times("prompt"), times("generation"), memory, size].join(" | ")} |`;
  });
  const { threads, prompt, generate, rounds } = values;
  const machine = `${cpus()[0]?.model.trim() ?? "unknown processor"}, ${threads} threads`;
  return [
    `${machine}, ${prompt} prompt tokens, ${generate} generated tokens, medians of ${rounds} alternating rounds.`,
    "",
    "| file | prompt, tokens/s | generation, tokens/s | resident memory | file |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}
