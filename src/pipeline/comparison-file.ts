/**
 * @file The folder of a comparison: `results.json`, which holds the finished runs, and `table.md` and the plots, which
 * are made from it.
 */

import { createHash } from "node:crypto";
import { readdir, readFile, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { writeFileAtomically } from "../atomic-write.ts";
import { CusprunError } from "../errors.ts";
import { isUnlistedExpert } from "../export/unlisted-expert.ts";
import { statOrNull } from "../folders.ts";
import { parseJson } from "../json.ts";
import { listOf, objectOf, validatorOf } from "../json-schema.ts";
import { entriesOf, sweepFolder } from "../output-stage.ts";
import { comparisonFigures } from "../report/comparison-figures.ts";
import { plotComparison, plotFileName } from "../report/comparison-plots.ts";
import { comparisonMarkdown } from "../report/comparison-table.ts";
import { COMPARISON_FORMAT, type ComparisonSettings, type MethodComparison } from "../report/method-comparison.ts";
import { asWriteError } from "../system-errors.ts";
import { foreignFiles, someOf } from "../written-files.ts";
import { OUTPUT_FILES } from "./output-file.ts";

/** Names in the folder of a comparison. */
export const RESULTS_FILE = "results.json";
const TABLE_FILE = "table.md";
/** Folder of the kept experts. */
export const EXPERTS_FOLDER = "experts";

/** Far more than thousands of runs need; prevents a wrong file from being read into memory. */
const MAX_RESULTS_BYTES = 256 * 1024 * 1024;

const COUNT = { type: "integer", minimum: 0 };
const TEXT = { type: "string" };
/** A number that overflowed is null in JSON. */
const VALUE = { type: ["number", "null"] };
const PERPLEXITY = { ...objectOf({ perplexity: VALUE, bitsPerByte: VALUE, tokenCount: COUNT }), type: ["object", "null"] };
const TASKS = listOf(
  objectOf({
    name: TEXT,
    type: TEXT,
    items: COUNT,
    figures: { type: "object", additionalProperties: objectOf({ value: VALUE }) },
  }),
);

/** The fields from which tables and plots are made: a file that was edited or made elsewhere may lack them. */
const isComparison = validatorOf(
  objectOf({
    format: { const: COMPARISON_FORMAT },
    model: TEXT,
    settings: objectOf({
      cusprun: TEXT,
      model: TEXT,
      corpora: { type: "object", additionalProperties: TEXT },
      selection: { type: "object" },
      tasks: listOf(objectOf({ name: TEXT, items: COUNT, digest: TEXT })),
    }),
    parameters: objectOf({ total: COUNT, blocks: COUNT }),
    dense: objectOf({ tasks: TASKS }),
    runs: listOf(
      objectOf({
        method: TEXT,
        budget: TEXT,
        seed: COUNT,
        fingerprint: TEXT,
        repaired: { type: "boolean" },
        parameters: objectOf({ before: COUNT, after: COUNT, removed: COUNT }),
        vocabulary: { type: ["object", "null"] },
        dimensions: listOf(
          objectOf({
            dimension: TEXT,
            label: TEXT,
            calibrationDocuments: COUNT,
            heldOutDocuments: COUNT,
            dense: PERPLEXITY,
            expert: PERPLEXITY,
          }),
        ),
        tasks: TASKS,
        elapsedMs: COUNT,
        peakBytes: COUNT,
        expert: { type: ["string", "null"] },
      }),
    ),
  }),
  { strictNumbers: false },
);

/**
 * Reads the results of earlier calls from a folder.
 * @returns null if there are none, or if they are to be replaced.
 * @throws CusprunError `OUTPUT_EXISTS` if the folder holds something else, or results that cannot be read.
 */
export async function readComparison(folder: string, overwrite: boolean): Promise<MethodComparison | null> {
  const path = join(folder, RESULTS_FILE);
  const found = await stat(path).catch(() => null);
  if (found === null) {
    const entries = await entriesOf(folder);
    if (entries.length === 0) return null;
    throw new CusprunError("OUTPUT_EXISTS", {
      where: folder,
      found: `a folder without a comparison, with ${someOf(entries)}`,
      expected: "an absent or empty folder, or that of an earlier comparison",
      remedy: "Choose another --out",
    });
  }
  if (overwrite && found.isFile() && (await OUTPUT_FILES.comparison.recognises(path))) {
    await checkExperts(folder);
    return null;
  }
  const comparison =
    !overwrite && found.isFile() && found.size <= MAX_RESULTS_BYTES ? parseResults(await readFile(path, "utf8")) : null;
  if (comparison !== null) return comparison;
  throw new CusprunError("OUTPUT_EXISTS", {
    where: path,
    found: "a file that does not hold a comparison in this format",
    expected: `the results of an earlier call ('format': '${COMPARISON_FORMAT}'), or nothing`,
    remedy: overwrite ? "Choose another --out" : "Choose another --out, or pass --overwrite to start again",
  });
}

/** The folders of kept experts, each of which the program wrote. @throws CusprunError `OUTPUT_EXISTS` for others. */
async function checkExperts(folder: string): Promise<readonly string[]> {
  const experts = join(folder, EXPERTS_FOLDER);
  // What a killed run left there is not a foreign file.
  await sweepFolder(experts);
  const paths = (await readdir(experts).catch(() => [])).map((name) => join(experts, name));
  for (const path of paths) {
    const foreign = await foreignFiles(path).catch(() => [path]);
    if (foreign === null ? await isUnlistedExpert(path) : foreign.length === 0) continue;
    throw new CusprunError("OUTPUT_EXISTS", {
      where: path,
      found: foreign === null ? "something that cusprun did not write" : `files that cusprun did not write: ${someOf(foreign)}`,
      expected: "experts of earlier runs and nothing else",
      remedy: "Choose another --out, or move these files elsewhere",
    });
  }
  return paths;
}

function parseResults(text: string): MethodComparison | null {
  try {
    // JSON has no infinity: a number that overflowed was written as null.
    const overflowed = (key: string): boolean => key === "perplexity" || key === "bitsPerByte" || key === "value";
    const parsed = parseJson(text, (key, value) => (value === null && overflowed(key) ? Number.POSITIVE_INFINITY : value));
    return isComparison()(parsed) ? (parsed as MethodComparison) : null;
  } catch {
    return null;
  }
}

/**
 * Checks that new runs can be added to those of an earlier call.
 * @throws CusprunError `OUTPUT_EXISTS`, which names the settings that differ.
 */
export function checkSettings(folder: string, known: ComparisonSettings, wanted: ComparisonSettings): void {
  const keys = Object.keys(wanted) as (keyof ComparisonSettings)[];
  // Converted through JSON, like the known settings.
  const now = JSON.parse(JSON.stringify(wanted)) as ComparisonSettings;
  const differing = keys.filter((key) => !isDeepStrictEqual(known[key], now[key]));
  if (differing.length === 0) return;
  const show = (settings: ComparisonSettings): string =>
    differing.map((key) => `${key} ${brief(JSON.stringify(settings[key]) ?? "absent")}`).join(", ");
  throw new CusprunError("OUTPUT_EXISTS", {
    where: join(folder, RESULTS_FILE),
    found: `runs with other settings: ${show(known)}`,
    expected: show(now),
    remedy: "Choose another --out, or pass --overwrite to start again",
  });
}

function brief(text: string): string {
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** SHA-256 (hex) of plain JSON, independent of the order of its keys. */
export function digestOf(value: unknown): string {
  const sorted = (_key: string, entry: unknown): unknown =>
    typeof entry === "object" && entry !== null && !Array.isArray(entry)
      ? Object.fromEntries(Object.entries(entry).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : entry;
  return createHash("sha256").update(JSON.stringify(value, sorted)).digest("hex");
}

/**
 * Removes the files of an earlier comparison, and nothing else in the folder.
 * @throws CusprunError `OUTPUT_EXISTS` for something else among the experts; the errors of writing.
 */
export async function clearComparison(folder: string): Promise<void> {
  try {
    for (const expert of await checkExperts(folder)) await rm(expert, { recursive: true, force: true });
    await rmdir(join(folder, EXPERTS_FOLDER)).catch(() => undefined);
    const path = join(folder, RESULTS_FILE);
    if ((await statOrNull(path)) === null) return;
    const earlier = parseResults(await readFile(path, "utf8"));
    const plots = earlier === null ? [] : comparisonFigures(earlier).map(plotFileName);
    // The results go last: by them the folder is recognised.
    for (const name of [...plots, TABLE_FILE, RESULTS_FILE]) await rm(join(folder, name), { force: true });
  } catch (error) {
    throw asWriteError(error, folder, "--out");
  }
}

/**
 * Writes the results, the table and the plots, each file completely or not at all.
 * @returns names of the files.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`.
 */
export async function writeComparison(folder: string, comparison: MethodComparison): Promise<readonly string[]> {
  const write = (name: string, text: string): Promise<void> =>
    writeFileAtomically(join(folder, name), (temporary) => writeFile(temporary, text));
  await write(RESULTS_FILE, `${JSON.stringify(comparison, null, 1)}\n`);
  if (comparison.runs.length === 0) return [RESULTS_FILE];
  await write(TABLE_FILE, comparisonMarkdown(comparison));
  const plots = await plotComparison(comparison);
  for (const { fileName, svg } of plots) await write(fileName, svg);
  return [RESULTS_FILE, TABLE_FILE, ...plots.map(({ fileName }) => fileName)];
}
