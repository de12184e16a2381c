/**
 * @file The time that a run tells beforehand, against the time that it needs, stage by stage: a prune of each model on
 * presets, with an empty work folder.
 *
 *     npm run bench:estimate -- [--models smollm2,qwen2,gemma3] [--documents 48] [--tokens 512] [--layout uniform]
 *         [--reduce 20%] [--formats hf] [--stages scoring,…] [--processor-time] [--out FOLDER]
 *
 * A model is a short name or a path. `--stages` stops a run after the last stage that is named. It takes as long as the
 * runs themselves. On a machine with other work, `--processor-time` tells and counts the processor's time, divided by
 * the number of its cores, instead of the clock's.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { pruneModel } from "cusprun";
import { table } from "./tables.mjs";

const CORPORA = { language: ["en"], domain: ["medical"], task: ["multiple-choice"] };
/** Progress events of work that belongs to another stage. */
const PART_OF = { "reading the damage": "trying cuts" };

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "smollm2,qwen2,gemma3" },
    documents: { type: "string", default: "48" },
    tokens: { type: "string", default: "512" },
    layout: { type: "string", default: "uniform" },
    reduce: { type: "string", default: "20%" },
    formats: { type: "string", default: "hf" },
    stages: { type: "string", default: "" },
    "processor-time": { type: "boolean", default: false },
    out: { type: "string", default: "bench-results/estimate" },
  },
});
if (values["processor-time"]) {
  const now = () => (process.cpuUsage().user + process.cpuUsage().system) / 1000 / cpus().length;
  Object.defineProperty(performance, "now", { value: now });
}
const wanted = values.stages === "" ? null : values.stages.split(",");
mkdirSync(values.out, { recursive: true });

/** Told and needed seconds of a run, by stage and in total. */
async function measure(model) {
  const folder = mkdtempSync(join(tmpdir(), "cusprun-estimate-"));
  const clock = new StageClock(wanted);
  try {
    await pruneModel({
      model,
      corpora: CORPORA,
      corpusOptions: {
        documents: Number(values.documents),
        heldOutDocuments: Math.ceil(Number(values.documents) / 2),
        maxTokens: Number(values.tokens),
      },
      selection: { budget: values.reduce, layout: values.layout },
      formats: values.formats.split(","),
      out: join(folder, "expert"),
      work: join(folder, "work"),
      onPlan: (stages) => clock.start(stages),
      onProgress: ({ stage }) => clock.at(PART_OF[stage] ?? stage),
      signal: clock.signal,
    });
  } catch (error) {
    if (!clock.signal.aborted) throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return clock.stages();
}

/** The time of each stage: from the last event of the stage before it to its own last event. */
class StageClock {
  #told = new Map();
  #needed = new Map();
  #lastAtMs = 0;
  #abort = new AbortController();
  #wanted;

  /** @param wanted names of stages, after which the run is stopped; null for all. */
  constructor(wanted) {
    this.#wanted = wanted;
  }

  get signal() {
    return this.#abort.signal;
  }

  start(stages) {
    for (const { stage, seconds } of stages) this.#told.set(stage, (this.#told.get(stage) ?? 0) + seconds);
    this.#lastAtMs = performance.now();
  }

  at(stage) {
    // Before the plan, or work that is no stage: its time goes to the next stage.
    if (!this.#told.has(stage)) return;
    if (this.#wanted !== null && !this.#wanted.includes(stage) && this.#wanted.every((name) => this.#needed.has(name))) {
      return this.#abort.abort();
    }
    const now = performance.now();
    this.#needed.set(stage, (this.#needed.get(stage) ?? 0) + (now - this.#lastAtMs) / 1000);
    this.#lastAtMs = now;
  }

  stages() {
    const stages = [...this.#needed].map(([stage, needed]) => ({ stage, told: this.#told.get(stage), needed }));
    const sum = (key) => stages.reduce((total, each) => total + each[key], 0);
    return [...stages, { stage: "total", told: sum("told"), needed: sum("needed") }];
  }
}

const results = { machine: { cpu: cpus()[0].model, cores: cpus().length }, options: values, models: {} };
for (const model of values.models.split(",")) {
  console.error(model);
  results.models[basename(model)] = await measure(model);
  writeFileSync(join(values.out, "results.json"), JSON.stringify(results, null, 1));
}
const rows = Object.entries(results.models).flatMap(([model, stages]) =>
  stages.map(({ stage, told, needed }) => [model, stage, told.toFixed(1), needed.toFixed(1), (needed / told).toFixed(2)]),
);
console.log(table(["model", "stage", "told, s", "needed, s", "needed / told"], rows));
