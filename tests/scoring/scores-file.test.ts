/** @file Scores files that are damaged, edited or made elsewhere: refused with a code, or read unchanged. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeSafetensors, inOnePiece } from "../../src/checkpoint/safetensors/write.ts";
import { SafetensorsFile } from "../../src/checkpoint/safetensors/read.ts";
import { CusprunError } from "../../src/errors.ts";
import { openScores } from "../../src/scoring/scores-file.ts";
import { scoreCorpora } from "../../src/scoring/score.ts";
import type { PrunePlan } from "../../src/selection/plan.ts";
import { selectUnits } from "../../src/selection/select.ts";
import { errorOf } from "../support/temporary-gguf.ts";
import { tinyCheckpoint, tinyModel } from "../support/tiny-models.ts";

type Json = Record<string, unknown>;
type Values = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

let folder: string;
let path: string;
let header: Json;
let values: Values;
let shapes: ReadonlyMap<string, readonly number[]>;
let plan: PrunePlan;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cusprun-scores-"));
  path = join(folder, "scores.safetensors");
  const checkpoint = tinyCheckpoint(tinyModel("llama", { numHiddenLayers: 2 }));
  const V = checkpoint.config.vocabSize;
  const document = (...tokens: number[]) => ({ tokens: Int32Array.from(tokens), byteLength: 9, source: tokens.join() });
  const [one, two, three] = [document(1, 2, 3, 4), document(5, 6, 7, 8), document(9, 3, 1, 2)];
  const shares = (): Float64Array => new Float64Array(V).fill(1 / V);
  const counts = { halves: [shares(), shares()], words: null } as const;
  await scoreCorpora(
    checkpoint,
    [
      { dimension: "language", label: "en", calibration: [one, two], heldOut: [] },
      { dimension: "domain", label: "medical", calibration: [two, three], heldOut: [] },
    ],
    path,
    {
      kinds: ["ffn", "ffn-sum", "layer"],
      vocabulary: {
        counts: new Map([
          ["language", counts],
          ["domain", counts],
        ]),
        derivations: new Map([
          [40, [3, 4]],
          [41, [40, 5]],
        ] as const),
        alwaysKept: new Set([1, 2, 41]),
      },
    },
  );
  const file = await SafetensorsFile.open(path);
  header = JSON.parse(file.metadata["scores"]!) as Json;
  const read = [...file.tensors.keys()].map(async (name) => [name, await file.readFloat32(name)] as const);
  values = new Map(await Promise.all(read));
  shapes = new Map([...file.tensors].map(([name, { shape }]) => [name, shape]));
  await file.close();
  plan = await planFrom(path);
});
afterAll(() => rm(folder, { recursive: true }));

async function planFrom(scoresPath: string): Promise<PrunePlan> {
  const scores = await openScores(scoresPath);
  try {
    // Everything that any selection reads.
    for (let layer = 0; layer < scores.config.numHiddenLayers; layer++)
      for (const kind of scores.kinds) for (const read of ["read", "readReference"] as const) await scores[read](layer, kind);
    const options = { layout: "masked", budget: "20% of blocks" } as const;
    await scores.readVocabulary();
    return await selectUnits(scores, { ...options, dimensions: ["language", "domain"] });
  } finally {
    await scores.close();
  }
}

/** Writes a file with another header, given as JSON text, or other values. */
async function write(scores: string | Json, changes: Values = new Map(), format = "cusprun-scores-3"): Promise<string> {
  const changed = join(folder, "changed.safetensors");
  const tensors = [...values].map(([name, own]) => ({
    name,
    shape: shapes.get(name)!,
    dtype: "F32" as const,
    pieces: inOnePiece(async () => changes.get(name) ?? own),
  }));
  await writeSafetensors(changed, tensors, { format, scores: typeof scores === "string" ? scores : JSON.stringify(scores) });
  return changed;
}

/** The header with another value at a path of keys; undefined removes the key. */
function headerWith(keys: readonly string[], value: unknown): Json {
  const changed = structuredClone(header);
  let parent = changed;
  for (const key of keys.slice(0, -1)) parent = parent[key] as Json;
  if (value === undefined) delete parent[keys.at(-1)!];
  else parent[keys.at(-1)!] = value;
  return changed;
}

test("a rewritten file gives the same plan", async () => {
  expect(await planFrom(await write(header))).toEqual(plan);
});

describe("the header", () => {
  test.each<[string, string, unknown, RegExp]>([
    ["an unknown family", "config.family", "mamba", /config\.family: found "mamba", expected a supported family: llama/],
    ["a family of the prototype", "config.family", "constructor", /a supported family/],
    ["another family than the model's", "model.family", "qwen3", /model\.family: found "qwen3", expected llama/],
    ["no model", "model", undefined, /required property 'model'/],
    ["no weights' identity", "model.weights", "0", /model\.weights: found "0"/],
    ["a missing dimension", "corpora.domain", undefined, /corpora\.domain: found documents but no label/],
    ["a dimension without documents", "corpora.task", "exams", /corpora\.task: found a label but no document/],
    ["an unknown dimension", "corpora.style", "formal", /corpora: .*must NOT have additional properties/],
    ["dimensions that are no list", "documents.0.dimensions", "language", /documents\.0\.dimensions: found "language"/],
    ["no documents", "documents", [], /documents: found \[\]/],
    ["a document that is null", "documents.1", null, /documents\.1: found null/],
    ["an unknown kind", "kinds.0", "neuron", /kinds\.0: found "neuron"/],
    ["a kind twice", "kinds.0", "layer", /kinds: found/],
    ["no layers", "config.numHiddenLayers", 0, /config\.numHiddenLayers: found 0/],
    ["more layers than sizes", "config.numHiddenLayers", 3, /found 2 entries, expected one for each of the 3 layers/],
    ["half a layer", "config.numHiddenLayers", 1.5, /config\.numHiddenLayers: found 1\.5/],
    ["a size that is null", "config.layerSizes.1.intermediateSize", null, /intermediateSize: found null/],
    ["heads that do not divide", "config.layerSizes.0.numKeyValueHeads", 5, /num_key_value_heads/],
    ["an enormous size", "config.hiddenSize", 2 ** 40, /hidden_size: found 1099511627776/],
    ["a flag that is a text", "vocabulary", "no", /vocabulary: found "no"/],
    [
      "other units than the tensors",
      "config.layerSizes.0.intermediateSize",
      8,
      /gate_proj\.weight': found shape \[\d+, \d+\], expected \[8,/,
    ],
    ["another kind than the tensors", "kinds.0", "head", /no such tensor|tensors/],
    ["no vocabulary although there are tensors", "vocabulary", false, /found \d+ tensors, expected \d+ tensors/],
  ])("with %s is refused", async (_, keys, value, message) => {
    const error = await errorOf(planFrom(await write(headerWith(keys.split("."), value))));
    expect(error.code).toBe("SCORES_INVALID");
    expect(error.message).toMatch(message);
  });

  test.each<[string, string]>([
    ["no JSON", "{"],
    ["a number", "7"],
    ["null", "null"],
    ["a list", "[]"],
    ["JSON nested too deep", `{"fingerprint":${"[".repeat(50_000)}${"]".repeat(50_000)}}`],
  ])("that is %s is refused", async (_, text) => {
    expect(await errorOf(planFrom(await write(text)))).toMatchObject({ code: "SCORES_INVALID" });
  });

  test("of another format is refused, with the remedy", async () => {
    const error = await errorOf(planFrom(await write(header, new Map(), "cusprun-scores-2")));
    expect(error).toMatchObject({ code: "SCORES_INVALID", parts: { remedy: expect.stringMatching(/^Score the model again/) } });
  });

  test("with any value in any place gives a coded error or the same plan", async () => {
    // Whether the head is tied decides how parameters are counted, and is checked nowhere else.
    const places = placesOf(header, []).filter((keys) => keys.at(-1) !== "tieWordEmbeddings");
    const change = fc.tuple(fc.constantFrom(...places), fc.oneof(fc.jsonValue(), fc.constant(undefined)));
    await fc.assert(
      fc.asyncProperty(change, async ([keys, value]) => {
        const outcome = await planFrom(await write(headerWith(keys, value))).catch((error: unknown) => error);
        if (outcome instanceof CusprunError) return;
        // What only describes the scores may differ, and nothing else.
        const { scores: _, corpora: __, model: ___, ...made } = outcome as PrunePlan;
        const { scores: ____, corpora: _____, model: ______, ...before } = plan;
        expect(made).toEqual(before);
      }),
      { numRuns: 300 },
    );
  });
});

/** The paths of all keys of a JSON value. */
function placesOf(value: unknown, above: readonly string[]): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [[...above, key], ...placesOf(inner, [...above, key])]);
}

describe("the values", () => {
  const cases: readonly (readonly [string, number, string])[] = [
    ["layers.0.ffn", Number.NaN, "NaN for document 1, unit 3"],
    ["layers.1.ffn", Number.POSITIVE_INFINITY, "Infinity for document 1, unit 3"],
    ["layers.1.ffn", -1, "-1 for document 1, unit 3"],
    ["layers.0.ffn-sum", Number.NaN, "NaN for document 1, unit 3"],
    ["layers.0.layer", -1, "-1 for document"],
    ["layers.0.layer", 3, "3 for document"],
    ["layers.0.reference.ffn", Number.NaN, "NaN for document"],
    ["layers.1.reference.ffn", Number.NEGATIVE_INFINITY, "-Infinity for document"],
    ["layers.1.reference.ffn", -0.5, "-0.5 for document"],
    ["vocabulary.relevance.language", Number.NaN, "NaN for token"],
    ["vocabulary.counted.domain", -0.25, "-0.25 for token"],
    ["vocabulary.counted.domain", 2, "2 for token"],
    ["vocabulary.parts", Number.NaN, "for token"],
    ["vocabulary.parts", 0.5, "for token"],
    ["vocabulary.parts", 1e9, "for token"],
    ["vocabulary.kept", 2, "2 for token"],
    ["vocabulary.kept", Number.NaN, "NaN for token"],
  ];

  test.each(cases)("of %s: %d is refused, and named", async (name, value, found) => {
    const own = values.get(name)!;
    // Unit 3 of document 1, or the last value.
    const width = own.length / 3;
    const index = name.includes(".ffn") && !name.includes("reference") ? width + 3 : own.length - 1;
    const error = await errorOf(planFrom(await write(header, new Map([[name, own.with(index, value)]]))));
    expect(error.code).toBe("SCORES_INVALID");
    expect(error.parts.where).toMatch(new RegExp(`tensor '${name}'$`));
    expect(error.parts.found).toContain(found);
  });

  test("a reference of 0 is a document that adds nothing, and a sum may be negative", async () => {
    const references = values.get("layers.0.reference.ffn")!;
    const sums = values.get("layers.0.ffn-sum")!;
    const changes = new Map([
      ["layers.0.reference.ffn", references.with(0, 0)],
      ["layers.0.ffn-sum", sums.with(0, -5)],
    ]);
    expect((await planFrom(await write(header, changes))).layers).toHaveLength(2);
  });

  test("a token inside its own parts is refused", async () => {
    const parts = values.get("vocabulary.parts")!;
    const circle = parts.with(2 * 40, 41).with(2 * 40 + 1, 3);
    const error = await errorOf(planFrom(await write(header, new Map([["vocabulary.parts", circle]]))));
    expect(error.message).toMatch(/vocabulary\.parts': found token 4[01] inside its own parts/);
  });

  test("a value of any tensor that no scoring writes is refused", async () => {
    const places = fc.constantFrom(...values.keys()).chain((name) =>
      fc.record({
        name: fc.constant(name),
        index: fc.integer({ min: 0, max: values.get(name)!.length - 1 }),
        value: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
      }),
    );
    await fc.assert(
      fc.asyncProperty(places, async ({ name, index, value }) => {
        const changes = new Map([[name, values.get(name)!.with(index, value)]]);
        const error = await errorOf(planFrom(await write(header, changes)));
        expect(error).toMatchObject({ code: "SCORES_INVALID", parts: { where: expect.stringContaining(`'${name}'`) } });
      }),
    );
  });
});

test("a file cut anywhere, or with any bytes of its header changed, gives a coded error or the same plan", async () => {
  const bytes = await readFile(path);
  const headerEnd = 8 + Number(bytes.readBigUInt64LE(0));
  const changes = fc.oneof(
    fc.record({ end: fc.integer({ min: 0, max: bytes.length - 1 }), at: fc.constant(null), byte: fc.constant(0) }),
    fc.record({
      end: fc.constant(bytes.length),
      at: fc.integer({ min: 0, max: headerEnd - 1 }),
      byte: fc.integer({ min: 0, max: 255 }),
    }),
  );
  await fc.assert(
    fc.asyncProperty(changes, async ({ end, at, byte }) => {
      const changed = Buffer.from(bytes.subarray(0, end));
      if (at !== null) changed[at] = byte;
      const file = join(folder, "cut.safetensors");
      await writeFile(file, changed);
      const outcome = await planFrom(file).catch((error: unknown) => error);
      if (outcome instanceof CusprunError) return;
      expect((outcome as PrunePlan).parameters).toEqual(plan.parameters);
    }),
    { numRuns: 300 },
  );
});
