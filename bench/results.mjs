/**
 * @file The tables of docs/results.md: runs `compareMethods` for one expert after the other, as results-plan.mjs lists
 * them, on data in ../shared/data, next to the repository. Finished runs are in docs/results and are not repeated, so
 * that an interrupted run can continue: all of it takes a night on two cores. Methods that run in PyTorch (peers.mjs)
 * need `CUSPRUN_PYTHON`, as the interoperability tests do.
 *
 *     npm run bench:results -- [--models smollm2,qwen2] [--experts en-medical] [--budgets '25% of blocks']
 *         [--methods uniform,ragged] [--seeds 0] [--minutes 60] [--out FOLDER] [--table docs/results.md]
 *         [--only-tables]
 *
 * `--models`, `--experts`, `--budgets` and `--methods` restrict the plan; `--seeds` overrides its seeds. `--minutes`
 * stops the run after that time. `--only-tables` runs nothing and renders the tables of the finished runs.
 */

import { mkdirSync, mkdtempSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compareMethods } from "cusprun";
import { makePeerRuns } from "./peers.mjs";
import { EXPERTS, METHODS, OTHER_METHODS, OTHERS, PAGES, PLAN, SIZES } from "./results-plan.mjs";
import { summary, tables } from "./results-tables.mjs";

const EVALUATION_FILES = join(import.meta.dirname, "../../shared/data/eval/dev");

/** The runs in PyTorch, in the folder of a comparison. */
const PEERS_FILE = "peers.json";

const { values } = parseArgs({
  options: {
    models: { type: "string" },
    experts: { type: "string" },
    budgets: { type: "string" },
    methods: { type: "string" },
    seeds: { type: "string" },
    minutes: { type: "string" },
    out: { type: "string", default: "docs/results" },
    table: { type: "string" },
    "only-tables": { type: "boolean", default: false },
  },
});
const signal = values.minutes === undefined ? undefined : AbortSignal.timeout(60_000 * Number(values.minutes));
const tasks = mkdtempSync(join(tmpdir(), "cusprun-results-"));
mkdirSync(values.out, { recursive: true });
let lastStage;

try {
  for (const part of values["only-tables"] ? [] : PLAN) await make(part);
} catch (error) {
  if (!signal?.aborted) throw error;
  console.error(`time limit of ${values.minutes} minutes reached; run again to continue`);
} finally {
  rmSync(tasks, { recursive: true });
}
const made = comparisons();
const names = { ours: METHODS.ragged.name, cut: METHODS["ragged-cut"].name };
const order = Object.values(METHODS).map(({ name }) => name);
const text = `${summary(made, { names, others: OTHER_METHODS, page: PAGES })}\n${tables(made, order)}`;
if (values.table !== undefined) {
  const marker = "<!-- made by npm run bench:results -->";
  const before = existsSync(values.table) ? readFileSync(values.table, "utf8").split(marker)[0] : "# Results\n\n";
  writeFileSync(values.table, `${before}${marker}\n\n${text}`);
}
console.log(text);

/** Makes a part of the plan, restricted by the options. */
async function make({ model, experts, budgets, methods, seeds: planned = [0] }) {
  const chosen = (name, all) => all.filter((each) => values[name] === undefined || values[name].split(",").includes(each));
  if (chosen("models", [model]).length === 0) return;
  const remaining = chosen("methods", methods);
  const seeds = values.seeds?.split(",").map(Number) ?? planned;
  for (const expert of chosen("experts", experts)) {
    // A budget of all parameters also removes tokens, which is a different comparison.
    for (const ofBlocks of [true, false]) {
      const some = chosen("budgets", budgets).filter((budget) => budget.endsWith("of blocks") === ofBlocks);
      if (some.length > 0 && remaining.length > 0) await compare(model, expert, ofBlocks, some, remaining, seeds);
    }
  }
}

async function compare(model, name, ofBlocks, budgets, methods, seeds) {
  const { corpora, own } = EXPERTS[name];
  const { documents, heldOut, tokens, items, pages } = SIZES[model];
  const names = [...new Set([own, ...OTHERS])];
  for (const each of names) shorten(each, each === PAGES ? pages : items);
  const shared = {
    model,
    corpora,
    corpusOptions: { documents, heldOutDocuments: heldOut, maxTokens: tokens },
    tasks: names.map((each) => join(tasks, `${each}.jsonl`)),
    out: join(values.out, `${model}--${name}--${ofBlocks ? "blocks" : "all"}`),
  };
  const report = (stage) => {
    if (stage !== lastStage) console.error(`${new Date().toISOString().slice(11, 19)} ${model} ${name}: ${stage}`);
    lastStage = stage;
  };
  const ours = methods.filter((method) => !METHODS[method].inPyTorch);
  if (ours.length > 0) {
    await compareMethods({
      ...shared,
      methods: ours.map((method) => METHODS[method]),
      budgets,
      seeds,
      ...(ofBlocks ? { selection: { vocabulary: "keep" } } : {}),
      onProgress: ({ stage }) => report(stage),
      ...(signal === undefined ? {} : { signal }),
    });
  }
  const others = methods.filter((method) => !ours.includes(method));
  for (const budget of budgets) for (const seed of seeds) await makePeers(shared, others, budget, seed, report);
}

/**
 * Makes the runs in PyTorch that are missing. They remove the same number of units, or the same share, as a run of the
 * comparison.
 */
async function makePeers(shared, wanted, budget, seed, report) {
  const path = join(shared.out, PEERS_FILE);
  const made = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : [];
  const isOf = (run) => run.budget === budget && run.seed === seed;
  const methods = wanted.filter((method) => !made.some((run) => isOf(run) && run.method === METHODS[method].name));
  if (methods.length === 0) return;
  const names = methods.map((method) => METHODS[method].name).join("; ");
  const python = process.env.CUSPRUN_PYTHON;
  if (python === undefined) return report(`skipped, CUSPRUN_PYTHON is not set: ${names}`);
  signal?.throwIfAborted();
  report(`${budget}: ${names}`);
  const { dense, runs } = JSON.parse(readFileSync(join(shared.out, "results.json"), "utf8"));
  const like = runs.find((run) => isOf(run) && run.method === METHODS["wanda-sp"].name);
  const found = await makePeerRuns(python, {
    ...shared,
    corpusOptions: { ...shared.corpusOptions, seed },
    methods,
    share: Number.parseFloat(budget) / 100,
    removedUnits: like.units[0].removedPerLayer.reduce((sum, count) => sum + count, 0),
    dense: { ...dense, dimensions: like.dimensions.map((dimension) => dimension.dense) },
    checked: PAGES,
    work: tasks,
  });
  const news = methods.map((method) => ({ method: METHODS[method].name, budget, seed, ...found[method] }));
  writeFileSync(path, `${JSON.stringify([...made, ...news], null, 1)}\n`);
}

/** Writes the first items of an evaluation file to the folder of tasks. */
function shorten(name, count) {
  const lines = readFileSync(join(EVALUATION_FILES, `${name}.jsonl`), "utf8")
    .split("\n")
    .filter((line) => line !== "");
  writeFileSync(join(tasks, `${name}.jsonl`), `${lines.slice(0, count).join("\n")}\n`);
}

/** Comparisons with finished runs, including those in PyTorch, in the order of the plan, by budget and seed. */
function comparisons() {
  const folders = readdirSync(values.out).filter((folder) => existsSync(join(values.out, folder, "results.json")));
  const order = PLAN.flatMap(({ model, experts }) =>
    experts.flatMap((name) => ["blocks", "all"].map((of) => `${model}--${name}--${of}`)),
  );
  return folders
    .toSorted((a, b) => order.indexOf(a) - order.indexOf(b))
    .map((folder) => {
      const [model, name] = folder.split("--");
      const { runs, ...rest } = JSON.parse(readFileSync(join(values.out, folder, "results.json"), "utf8"));
      const peers = join(values.out, folder, PEERS_FILE);
      const others = existsSync(peers) ? JSON.parse(readFileSync(peers, "utf8")) : [];
      return { model, title: EXPERTS[name].title, ...rest, runs: [...runs, ...others] };
    })
    .flatMap(({ runs, ...rest }) => {
      const groups = [...new Set(runs.map(({ budget, seed }) => `${budget}|${seed}`))].toSorted((a, b) =>
        a.localeCompare(b, "en", { numeric: true }),
      );
      return groups.map((group) => {
        const [budget, seed] = group.split("|");
        return {
          ...rest,
          budget,
          seed: Number(seed),
          runs: runs.filter((run) => run.budget === budget && run.seed === Number(seed)),
        };
      });
    });
}
