/**
 * @file Which rows and columns of which tensors a plan removes: plan + config → edits by tensor name, before a weight
 * is read.
 *
 *     FFN unit j           row j of gate and up, column j of down
 *     KV group g           rows gK…gK+K-1 of k and v; of its query heads, rows of q and columns of o
 *     query head h         rows hK…hK+K-1 of q, the same columns of o
 *     value dim (g, i)     row gK+i of v; column hK+i of o for each head h of g
 *     rotary pair (g, p)   rows p and p+K/2 of group g in k, and of each of its heads in q
 *     matrix:X             the row or column itself
 *     layer                no row or column: its tensors are left out as a whole, which needs no edit
 *     token t              row t of the embedding, and of a separate output head
 *
 * A row's bias is removed with it. Biases of o are kept: they belong to no unit.
 * Source: docs/architecture.md, "Units and what they free".
 */

import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { RowRange } from "../checkpoint/checkpoint.ts";
import type { BlockSizes } from "../checkpoint/check-tensors.ts";
import type { BlockRole } from "../families/roles.ts";
import { blockTensorName, familyNamed, modelTensorName } from "../families/index.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { CutKind, Layout, PlannedCut } from "../selection/plan.ts";

/** The change of one tensor. */
export interface TensorEdit {
  /** `cut` removes the rows or columns, `zero` sets them to zero. */
  readonly mode: "cut" | "zero";
  /** 0: rows (or elements of a bias), 1: columns. */
  readonly axis: 0 | 1;
  /** Ascending. */
  readonly indices: readonly number[];
}

/** Matrices in which units have rows or columns, with the bias of their rows. */
const EDITED = [
  { matrix: "q", bias: "qBias", axis: 0 },
  { matrix: "k", bias: "kBias", axis: 0 },
  { matrix: "v", bias: "vBias", axis: 0 },
  { matrix: "o", bias: null, axis: 1 },
  { matrix: "gate", bias: null, axis: 0 },
  { matrix: "up", bias: null, axis: 0 },
  { matrix: "down", bias: null, axis: 1 },
] as const satisfies readonly { matrix: BlockRole; bias: BlockRole | null; axis: 0 | 1 }[];

type EditedMatrix = (typeof EDITED)[number]["matrix"];

/**
 * Edits by tensor name; a tensor without one does not change.
 * @param plan was checked against the model (`checkPlan`).
 * @param hasTensor whether the checkpoint holds a tensor of this name.
 */
export function planTensorEdits(
  plan: PlannedCut,
  config: ModelConfig,
  hasTensor: (name: string) => boolean,
): ReadonlyMap<string, TensorEdit> {
  const family = familyNamed(config.family);
  const mode = MODES[plan.layout];
  const edits = new Map<string, TensorEdit>();
  if (plan.vocabulary !== undefined) {
    for (const role of ["embedding", "outputHead"] as const) {
      const name = modelTensorName(family, role);
      if (hasTensor(name)) edits.set(name, { mode, axis: 0, indices: plan.vocabulary.removed });
    }
  }
  for (const { layer, cuts } of plan.layers) {
    const sizes = blockSizes(config, layer);
    const taken = new Map<EditedMatrix, Set<number>>(EDITED.map(({ matrix }) => [matrix, new Set()]));
    for (const [kind, cut] of Object.entries(cuts)) {
      for (const unit of cut.removed) {
        forEachLine(kind as CutKind, unit, sizes, (matrix, index) => taken.get(matrix)?.add(index));
      }
    }
    for (const { matrix, bias, axis } of EDITED) {
      const indices = [...(taken.get(matrix) ?? [])].toSorted((a, b) => a - b);
      if (indices.length === 0) continue;
      edits.set(blockTensorName(family, layer, matrix), { mode, axis, indices });
      if (bias === null || family.tensorNames.block[bias] === undefined) continue;
      const biasName = blockTensorName(family, layer, bias);
      if (hasTensor(biasName)) edits.set(biasName, { mode, axis: 0, indices });
    }
  }
  return edits;
}

const MODES: Readonly<Record<Layout, TensorEdit["mode"]>> = { masked: "zero", uniform: "cut", ragged: "cut" };

/** Calls `take` for every row or column that belongs to a unit. */
function forEachLine(
  kind: CutKind,
  unit: number,
  { headDim: K, numAttentionHeads: H, numKeyValueHeads: G }: BlockSizes,
  take: (matrix: EditedMatrix, index: number) => void,
): void {
  const R = H / G;
  const takeHead = (head: number): void => {
    for (let i = head * K; i < (head + 1) * K; i++) {
      take("q", i);
      take("o", i);
    }
  };
  const headsOf = (group: number): number[] => Array.from({ length: R }, (_, i) => group * R + i);
  switch (kind) {
    case "ffn":
      take("gate", unit);
      take("up", unit);
      take("down", unit);
      return;
    case "head":
      takeHead(unit);
      return;
    case "kv-group":
      for (let i = unit * K; i < (unit + 1) * K; i++) {
        take("k", i);
        take("v", i);
      }
      headsOf(unit).forEach(takeHead);
      return;
    case "value-dim": {
      const [group, i] = [Math.floor(unit / K), unit % K];
      take("v", unit);
      for (const head of headsOf(group)) take("o", head * K + i);
      return;
    }
    case "rotary-pair": {
      const half = K / 2;
      const [group, pair] = [Math.floor(unit / half), unit % half];
      for (const row of [pair, pair + half]) {
        take("k", group * K + row);
        for (const head of headsOf(group)) take("q", head * K + row);
      }
      return;
    }
    case "layer":
      return;
    case "matrix:gate":
    case "matrix:up":
    case "matrix:down":
    case "matrix:q":
    case "matrix:k":
    case "matrix:v":
    case "matrix:o":
      take(kind.slice("matrix:".length) as EditedMatrix, unit);
      return;
    default:
      throw kind satisfies never;
  }
}

/** Shape of a tensor after an edit. */
export function editedShape(shape: readonly number[], edit: TensorEdit): readonly number[] {
  return edit.mode === "zero" ? shape : shape.map((size, axis) => (axis === edit.axis ? size - edit.indices.length : size));
}

/** Words of an element's size, or bytes of quantised rows; values are moved, never interpreted. */
type Words = Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** Rows of an edited tensor: the rows to read, and the edit that these still need. */
export interface EditedRows {
  readonly before: RowRange;
  /** Null if they need none. */
  readonly edit: TensorEdit | null;
}

/**
 * Where rows of an edited tensor come from.
 * @param rowCount rows before the edit.
 * @param rows of the edited tensor.
 */
export function editedRows(rowCount: number, edit: TensorEdit, rows: RowRange): EditedRows {
  if (edit.axis === 1) return { before: rows, edit };
  const before = edit.mode === "zero" ? rows : rowsBeforeCut(rowCount, edit.indices, rows);
  const indices = edit.indices.filter((row) => row >= before.start && row < before.end).map((row) => row - before.start);
  return { before, edit: indices.length === 0 ? null : { ...edit, indices } };
}

/** The narrowest range that holds the kept rows numbered `[start, end)`. */
function rowsBeforeCut(rowCount: number, removed: readonly number[], { start, end }: RowRange): RowRange {
  const range = { start: 0, end: 0 };
  let kept = 0;
  for (const [runStart, runEnd] of keptRuns(rowCount, removed)) {
    const after = kept + runEnd - runStart;
    if (start >= kept && start < after) range.start = runStart + start - kept;
    if (end > kept && end <= after) range.end = runStart + end - kept;
    kept = after;
  }
  return range;
}

/**
 * Applies an edit to the elements of a tensor, as bit patterns.
 * @param words row-major, as many as the shape has elements; an edit of rows allows any number of words per row. `zero`
 *   writes into it.
 * @param shape [rows] or [rows, columns] before the edit.
 * @returns the edited elements: `words` itself for `zero`, a new array for `cut`.
 */
export function applyEdit<W extends Words>(words: W, shape: readonly number[], edit: TensorEdit): W {
  const rows = shape[0] ?? 1;
  const columns = words.length / rows;
  const { axis, indices } = edit;
  if (edit.mode === "zero") {
    for (const index of indices) {
      if (axis === 0) words.fill(0, index * columns, (index + 1) * columns);
      else for (let row = 0; row < rows; row++) words[row * columns + index] = 0;
    }
    return words;
  }
  const size = axis === 0 ? (rows - indices.length) * columns : rows * (columns - indices.length);
  const kept = new (words.constructor as new (length: number) => W)(size);
  // Runs of kept rows or columns, as [start, end) of the axis, are copied whole.
  const runs = keptRuns(axis === 0 ? rows : columns, indices);
  let position = 0;
  for (let row = 0; row < (axis === 0 ? 1 : rows); row++) {
    for (const [start, end] of runs) {
      const run =
        axis === 0 ? words.subarray(start * columns, end * columns) : words.subarray(row * columns + start, row * columns + end);
      kept.set(run, position);
      position += run.length;
    }
  }
  return kept;
}

function keptRuns(size: number, removed: readonly number[]): [number, number][] {
  const runs: [number, number][] = [];
  let start = 0;
  for (const index of [...removed, size]) {
    if (index > start) runs.push([start, index]);
    start = index + 1;
  }
  return runs;
}
