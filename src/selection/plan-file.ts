/**
 * @file Plans as JSON files. A plan that is read is untrusted: it may be hand-edited, truncated or written by another
 * program.
 */

import { writeFile } from "node:fs/promises";
import type { ModelIdentity } from "../checkpoint/identity.ts";
import { DIMENSIONS } from "../corpora/corpus.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import { writeFileAtomically } from "../atomic-write.ts";
import { isJsonObject, type JsonObject, parseJsonBytes, showValue } from "../json.ts";
import { readRegularFile } from "../regular-files.ts";
import { describeSystemCode } from "../system-errors.ts";
import { parseAggregate } from "./aggregate.ts";
import { ALLOCATIONS, cutKindsOf, LAYOUTS } from "./plan.ts";
import type { CutKind, LayerCut, LayerPlan, PrunePlan, VocabularyCut } from "./plan.ts";

/** Largest plan that is read: that of a 70B model is under 40 MiB, and JSON.parse needs several times a file's size. */
const MAX_PLAN_BYTES = 256 * 2 ** 20;
/** Longest key in a message. */
const MAX_KEY_CHARACTERS = 80;
const A_PLAN = "a plan that `cusprun select` wrote";
/** More layers than any model has; limits the work on a file that is not a plan. */
const MAX_LAYERS = 10_000;

/** More tensors than any model has. */
const MAX_TENSORS = 100_000;
/** Raised whenever a plan of the version before would be read in another sense, or lacks something. */
const FORMAT_VERSION = 2;

/** A plan as JSON text: indented, each list of indices on one line, ending in a newline. */
export function formatPlan(plan: PrunePlan): string {
  // JSON escapes newlines inside strings, so a raw one after a bracket can only begin a list.
  const onOneLine = (list: string): string => list.replace(/\s+/g, "").replaceAll(",", ", ");
  return `${JSON.stringify(plan, null, 2).replace(/\[\n[\d\s,]*\]/g, onOneLine)}\n`;
}

/**
 * Writes a plan.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`.
 * @example
 * ```ts
 * import { readPlan, writePlan } from "cusprun";
 *
 * // A ragged plan may be edited: keep the first layer as it is.
 * const plan = await readPlan("plan.json");
 * const layers = plan.layers.map((each) => (each.layer === 0 ? { ...each, cuts: {} } : each));
 * await writePlan("edited.json", { ...plan, layers });
 * ```
 */
export async function writePlan(path: string, plan: PrunePlan): Promise<void> {
  await writeFileAtomically(path, (temporary) => writeFile(temporary, formatPlan(plan)));
}

/**
 * Reads a plan. Whether it fits a model is checked where it is used (`checkPlan`).
 * @throws CusprunError `PLAN_INVALID`.
 * @example
 * ```ts
 * import { readPlan } from "cusprun";
 *
 * const { budget, layers } = await readPlan("plan.json");
 * for (const { layer, cuts } of layers) console.log(budget, layer, cuts.ffn?.removed.length ?? 0);
 * ```
 */
export async function readPlan(path: string): Promise<PrunePlan> {
  const bytes = await readRegularFile(path, "PLAN_INVALID", A_PLAN, MAX_PLAN_BYTES);
  if (bytes === null) throw invalid(path, describeSystemCode("ENOENT"), A_PLAN);
  let json: unknown;
  try {
    json = parseJsonBytes(bytes);
  } catch (error) {
    throw invalid(path, `invalid JSON (${(error as SyntaxError).message})`, A_PLAN);
  }
  return parsePlan(json, path);
}

/**
 * A plan from parsed JSON. Unknown keys are dropped.
 * @param where for messages
 * @throws CusprunError `PLAN_INVALID`.
 */
export function parsePlan(json: unknown, where: string): PrunePlan {
  const root = new Fields(json, where);
  if (root.get("formatVersion") !== FORMAT_VERSION)
    throw root.error("formatVersion", `${FORMAT_VERSION}, which this version of cusprun reads and writes`);
  const layout = root.oneOf("layout", LAYOUTS);
  const granularity = root.oneOf("granularity", ["structural", "matrix"] as const);
  if (layout !== "masked" && granularity === "matrix") throw root.error("granularity", `structural in layout ${layout}`);
  const aggregate = root.text("aggregate");
  checkAggregate(root, aggregate);
  const parameters = root.fields("parameters");
  const layers = root.get("layers");
  if (!Array.isArray(layers) || layers.length > MAX_LAYERS) throw root.error("layers", `a list of at most ${MAX_LAYERS} layers`);
  const allowed = cutKindsOf(layout, granularity);
  return {
    formatVersion: FORMAT_VERSION,
    layout,
    granularity,
    budget: root.text("budget"),
    ...(root.get("method") !== undefined && { method: root.text("method") }),
    ...(root.get("allocation") !== undefined && { allocation: root.oneOf("allocation", ALLOCATIONS) }),
    aggregate,
    weights: root.fields("weights").byDimension((fields, key) => fields.number(key)),
    corpora: root.fields("corpora").byDimension((fields, key) => fields.text(key)),
    scores: root.text("scores"),
    parameters: {
      total: parameters.count("total"),
      blocks: parameters.count("blocks"),
      requested: parameters.count("requested"),
      removed: parameters.count("removed"),
    },
    overlap: Object.fromEntries(
      root
        .fields("overlap")
        .keys()
        .map((key) => [key, root.fields("overlap").number(key)]),
    ),
    ...(root.get("vocabulary") !== undefined && { vocabulary: parseVocabulary(root.fields("vocabulary")) }),
    layers: layers.map((entry, layer) => parseLayer(new Fields(entry, `${where}: layer ${layer}`), layer, allowed)),
    model: root.get("model") === null ? null : parseModel(root.fields("model")),
  };
}

function checkAggregate(root: Fields, aggregate: string): void {
  try {
    parseAggregate(aggregate);
  } catch (error) {
    if (!(error instanceof CusprunError)) throw error;
    throw root.error("aggregate", error.parts.expected);
  }
}

function parseModel(fields: Fields): ModelIdentity {
  const tensors = fields.fields("tensors");
  const names = tensors.keys();
  if (names.length > MAX_TENSORS) throw fields.error("tensors", `at most ${MAX_TENSORS} tensors`);
  const weights = fields.text("weights");
  if (!/^[0-9a-f]{64}$/.test(weights)) throw fields.error("weights", "a SHA-256 in hexadecimal");
  return {
    family: fields.text("family"),
    tensors: Object.fromEntries(names.map((name) => [name, tensors.shape(name)])),
    weights,
  };
}

function parseLayer(fields: Fields, layer: number, allowed: readonly CutKind[]): LayerPlan {
  if (fields.get("layer") !== layer) throw fields.error("layer", `${layer}: layers are listed in order`);
  const cuts = fields.fields("cuts");
  const parsed: Partial<Record<CutKind, LayerCut>> = {};
  for (const key of cuts.keys()) {
    const kind = allowed.find((candidate) => candidate === key);
    if (kind === undefined)
      throw cuts.error(key, `no such kind; with this layout and granularity there are ${allowed.join(", ")}`);
    parsed[kind] = parseCut(cuts.fields(key));
  }
  return { layer, cuts: parsed };
}

function parseVocabulary(fields: Fields): VocabularyCut {
  const splits = fields.fields("splits").byDimension((shares, key) => shares.number(key));
  return { size: fields.count("size"), removed: fields.indices("removed"), splits };
}

function parseCut(fields: Fields): LayerCut {
  return {
    removed: fields.indices("removed"),
    irrelevantShare: fields.fields("irrelevantShare").byDimension((shares, key) => shares.number(key)),
    why: fields.fields("why").byDimension((reasons, key) => {
      const reason = reasons.fields(key);
      return Object.fromEntries(
        (["removedMax", "keptMin"] as const)
          .filter((name) => reason.get(name) !== undefined)
          .map((name) => [name, reason.number(name)]),
      );
    }),
  };
}

/** A JSON object under inspection. Only its own keys count. */
class Fields {
  private readonly object: JsonObject;
  private readonly where: string;

  constructor(json: unknown, where: string) {
    if (!isJsonObject(json)) throw invalid(where, showValue(json), "an object");
    this.object = json;
    this.where = where;
  }

  keys(): string[] {
    return Object.keys(this.object);
  }

  get(key: string): unknown {
    return Object.hasOwn(this.object, key) ? this.object[key] : undefined;
  }

  fields(key: string): Fields {
    return new Fields(this.get(key), `${this.where}: ${shortKey(key)}`);
  }

  text(key: string): string {
    const value = this.get(key);
    if (typeof value !== "string") throw this.error(key, "a text");
    return value;
  }

  number(key: string): number {
    const value = this.get(key);
    // A number too large for a double is parsed as infinity.
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.error(key, "a number");
    return value;
  }

  count(key: string): number {
    const value = this.get(key);
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw this.error(key, "a whole number from 0");
    return value as number;
  }

  indices(key: string): readonly number[] {
    const list = this.get(key);
    const ascending =
      Array.isArray(list) &&
      list.every((index, i) => Number.isSafeInteger(index) && index >= 0 && (i === 0 || index > list[i - 1]));
    if (!ascending) throw this.error(key, "a list of ascending whole numbers from 0, none twice");
    return list as number[];
  }

  /** A tensor's shape: one or two sizes. */
  shape(key: string): readonly number[] {
    const sizes = this.get(key);
    const isShape =
      Array.isArray(sizes) &&
      (sizes.length === 1 || sizes.length === 2) &&
      sizes.every((size) => Number.isSafeInteger(size) && size > 0);
    if (!isShape) throw this.error(key, "one or two sizes from 1");
    return sizes as number[];
  }

  oneOf<T extends string>(key: string, choices: readonly T[]): T {
    const value = choices.find((choice) => choice === this.get(key));
    if (value === undefined) throw this.error(key, choices.join(" or "));
    return value;
  }

  byDimension<T>(read: (fields: Fields, key: Dimension) => T): Partial<Record<Dimension, T>> {
    const stray = this.keys().find((key) => !DIMENSIONS.includes(key as Dimension));
    if (stray !== undefined) throw this.error(stray, `no such dimension; there are ${DIMENSIONS.join(", ")}`);
    return Object.fromEntries(
      DIMENSIONS.filter((dimension) => this.get(dimension) !== undefined).map((dimension) => [dimension, read(this, dimension)]),
    );
  }

  error(key: string, expected: string): CusprunError {
    return invalid(`${this.where}: ${shortKey(key)}`, showValue(this.get(key)), expected);
  }
}

/** A key of the file, for messages. */
function shortKey(key: string): string {
  return key.length > MAX_KEY_CHARACTERS ? `${key.slice(0, MAX_KEY_CHARACTERS)}…` : key;
}

function invalid(where: string, found: string, expected: string): CusprunError {
  return new CusprunError("PLAN_INVALID", {
    where,
    found,
    expected,
    remedy: "Correct the plan, or make it again with `cusprun select`",
  });
}
