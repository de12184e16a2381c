/**
 * @file The quantisers against those of llama.cpp, on random matrices with and without importances, and on a repaired
 * file: all bytes are the same.
 */

import { expect, test } from "vitest";
import type { GgmlQuantType } from "../../src/checkpoint/checkpoint.ts";
import { quantize, type WrittenGgmlType } from "../../src/export/gguf/ggml-quantize.ts";
import { requantizedMatrices } from "../support/repaired-gguf.ts";
import { seededNormal } from "../support/tiny-models.ts";
import { type QuantizeRequest, quantizeChunks } from "./ggml-quantize.ts";

const TYPES = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"] as const satisfies readonly (GgmlQuantType &
  WrittenGgmlType)[];

const [ROWS, COLUMNS] = [48, 768];
const random = seededNormal(23);

/** Values by row and column. */
const MATRICES: Readonly<Record<string, (row: number, column: number) => number>> = {
  normal: () => 0.02 * random(),
  "heavy tails": () => 0.02 * random() ** 5,
  "a row of zeros, one of a single value": (row, column) =>
    row === 1 ? 0 : row === 2 ? (column === 300 ? 1 : 0) : row === 3 ? 0.25 : random(),
  "positive, negative, tiny and large rows": (row) => {
    const value = random();
    return [Math.abs(value), -Math.abs(value), 1e-6 * value, 1e3 * value, 1e-20 * value, value - 2][row % 6]!;
  },
  // Together with widely varying importances, quants exceed the range in which nearest_int rounds correctly.
  "outliers over many magnitudes": () => 0.03 * random() ** 3 * (random() > 1.28 ? 10 ** (3 * random()) : 1),
  "columns of different magnitudes": (_row, column) => random() * 10 ** ((column % 7) - 4),
  "blocks of different magnitudes": (_row, column) => random() * 10 ** ((Math.floor(column / 32) % 9) - 6),
};

/** Importance by column. */
const IMPORTANCES: Readonly<Record<string, ((column: number) => number) | null>> = {
  none: null,
  ones: () => 1,
  "chi squared": () => random() ** 2,
  zeros: () => 0,
  "a huge outlier": (column) => (column === 77 ? 1e9 : random() ** 2),
  "partly zero": (column) => (column % 3 === 0 || (column >= 128 && column < 192) ? 0 : random() ** 2),
  "over many magnitudes": () => 10 ** (5 * random()),
  "one column alone": (column) => (column === 400 ? 1 : 0),
};

test.each(TYPES)("%s is bit-identical to ggml_quantize_chunk", async (type) => {
  const requests: (QuantizeRequest & { readonly what: string })[] = [];
  for (const [matrix, valueOf] of Object.entries(MATRICES)) {
    for (const [name, importanceOf] of Object.entries(IMPORTANCES)) {
      const values = Float32Array.from({ length: ROWS * COLUMNS }, (_, at) => valueOf(Math.floor(at / COLUMNS), at % COLUMNS));
      const importance = importanceOf && Float32Array.from({ length: COLUMNS }, (_, column) => importanceOf(column));
      requests.push({ what: `${matrix} × ${name}`, type, values, columns: COLUMNS, importance });
    }
  }
  const expected = await quantizeChunks(requests);
  const different = requests.filter(
    ({ values, importance }, index) => Buffer.compare(quantize(type, values, importance), expected[index]!) !== 0,
  );
  expect(different.map(({ what }) => what)).toEqual([]);
});

test.each([null, "Q4_K_M"] as const)("a repaired file written as %s has the bytes of ggml_quantize_chunk", async (type) => {
  const matrices = await requantizedMatrices("llama", type);
  const requests = matrices.map((matrix) => ({ ...matrix, type: matrix.type as (typeof TYPES)[number] }));
  const expected = await quantizeChunks(requests);
  expect(new Set(requests.map((request) => request.type)).size).toBeGreaterThan(2);
  const different = requests.filter(({ bytes }, index) => Buffer.compare(bytes, expected[index]!) !== 0);
  expect(different.map(({ name }) => name)).toEqual([]);
});
