/**
 * @file How many documents a plan needs: many documents are scored once, and plans are selected from subsets of those
 * scores. Prints a table, and draws a plot, of the overlap (units that both plans keep, as a share of those that either
 * keeps) between two plans from disjoint documents, and between a plan and the one from all documents; the mean over
 * random draws.
 *
 *     npm run bench:documents -- [--model smollm2] [--documents 512] [--tokens 256] [--reduce '25% of blocks']
 *         [--draws 4] [--out FOLDER]
 *
 * The corpora are in ../shared/data, next to the repository.
 */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as Plot from "@observablehq/plot";
import { openCheckpoint, openScores, resolveModel, selectUnits } from "cusprun";
import { loadCorpora, openTokenizer, scoreCorpora } from "cusprun/internals";
import { EN_MEDICAL_MULTIPLE_CHOICE as CORPORA } from "./corpora.mjs";
import { writePlot } from "./plot.mjs";
import { table } from "./tables.mjs";

const COUNTS = [8, 16, 32, 48, 64, 96, 128, 192, 256, 512];

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "smollm2" },
    documents: { type: "string", default: "512" },
    tokens: { type: "string", default: "256" },
    reduce: { type: "string", default: "25% of blocks" },
    draws: { type: "string", default: "4" },
    out: { type: "string", default: "bench-results/documents" },
  },
});
mkdirSync(values.out, { recursive: true });
const checkpoint = await openCheckpoint(await resolveModel(values.model));
const corpora = await loadCorpora(CORPORA, await openTokenizer(checkpoint), {
  documents: Number(values.documents),
  heldOutDocuments: 1,
  maxTokens: Number(values.tokens),
});
const path = join(values.out, `${values.model}-${values.documents}-${values.tokens}.scores.safetensors`);
if (!existsSync(path)) {
  console.error("scoring");
  await scoreCorpora(checkpoint, corpora, path);
}
await checkpoint.close();
const scores = await openScores(path);
const dimensions = Object.keys(CORPORA);
/** Relevances by layer, each read once. */
const cache = new Map();
const layer = async (index, kind) => {
  if (!cache.has(index)) cache.set(index, [await scores.read(index, kind), await scores.readReference(index, kind)]);
  return cache.get(index);
};

/** The scores of some documents, as if only they had been scored. @param rows indices of the documents. */
function subset(rows) {
  return {
    config: scores.config,
    fingerprint: scores.fingerprint,
    corpora: scores.corpora,
    kinds: scores.kinds,
    documents: rows.map((row) => scores.documents[row]),
    async read(index, kind) {
      const [all] = await layer(index, kind);
      const units = all.length / scores.documents.length;
      const chosen = new Float32Array(rows.length * units);
      for (const [at, row] of rows.entries()) chosen.set(all.subarray(row * units, (row + 1) * units), at * units);
      return chosen;
    },
    async readReference(index, kind) {
      const [, all] = await layer(index, kind);
      return Float32Array.from(rows, (row) => all[row]);
    },
    readVocabulary: () => Promise.resolve(null),
    close: () => Promise.resolve(),
  };
}

/** The kept FFN units of all layers, as a set of 65536 · layer + unit. */
async function keptUnits(rows, layout) {
  const allocation = layout === "ragged" ? { allocation: "global" } : {};
  const plan = await selectUnits(subset(rows), { dimensions, budget: values.reduce, layout, vocabulary: "keep", ...allocation });
  const { layerSizes } = scores.config;
  const kept = new Set();
  for (const { layer: index, cuts } of plan.layers) {
    const removed = new Set(cuts.ffn?.removed);
    for (let unit = 0; unit < layerSizes[index].intermediateSize; unit++) if (!removed.has(unit)) kept.add(index * 65536 + unit);
  }
  return kept;
}

function overlap(a, b) {
  const both = [...a].filter((unit) => b.has(unit)).length;
  return both / (a.size + b.size - both);
}

/** Documents of each dimension in a random order: that of a hash with the draw's number, the same on every machine. */
function drawn(draw) {
  const place = (row) => createHash("sha256").update(`${draw} ${row}`).digest("hex");
  return dimensions.map((dimension) =>
    [...scores.documents.keys()]
      .filter((row) => scores.documents[row].dimensions.includes(dimension))
      .toSorted((a, b) => (place(a) < place(b) ? -1 : 1)),
  );
}

const points = [];
for (const layout of ["uniform", "ragged"]) {
  const all = await keptUnits([...scores.documents.keys()], layout);
  for (const count of COUNTS.filter((each) => 2 * each <= Number(values.documents))) {
    const [apart, whole] = [[], []];
    for (let draw = 0; draw < Number(values.draws); draw++) {
      const orders = drawn(draw);
      const part = (start) => [...new Set(orders.flatMap((rows) => rows.slice(start, start + count)))];
      const [first, second] = [await keptUnits(part(0), layout), await keptUnits(part(count), layout)];
      apart.push(overlap(first, second));
      whole.push(overlap(first, all));
    }
    const mean = (numbers) => numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
    points.push({ layout, count, apart: mean(apart), whole: mean(whole) });
    console.error(points.at(-1));
  }
}
await scores.close();
writeFileSync(join(values.out, "results.json"), JSON.stringify({ ...values, points }, null, 1));
await writePlot(join(values.out, "documents.svg"), {
  width: 640,
  marginLeft: 50,
  marginRight: 90,
  grid: true,
  x: { type: "log", base: 2, label: "documents of each corpus →", tickFormat: String },
  y: { label: "↑ overlap of two plans from disjoint documents" },
  marks: [
    Plot.lineY(points, { x: "count", y: "apart", stroke: "layout" }),
    Plot.dot(points, { x: "count", y: "apart", stroke: "layout", fill: "white" }),
    Plot.text(points, Plot.selectLast({ x: "count", y: "apart", text: "layout", z: "layout", textAnchor: "start", dx: 8 })),
  ],
});
const header = ["documents of each corpus", "layout", "overlap of two plans from disjoint documents", "with the plan from all"];
const rows = points.map(({ count, layout, apart, whole }) => [count, layout, apart.toFixed(3), whole.toFixed(3)]);
console.log(table(header, rows));
