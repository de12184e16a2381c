/**
 * @file The size of a unit's own weights, independent of any text: the L2 norm over all of its rows and columns.
 * Source: LLM-Pruner, arXiv 2305.11627, its baseline "L2", vector-wise magnitude of a group of coupled structures.
 */

import { blockTensorName, familyNamed } from "../../families/index.ts";
import type { BlockRole } from "../../families/roles.ts";
import { blockSizes } from "../../checkpoint/check-tensors.ts";
import type { WeightSource } from "../../model/layer-program.ts";
import { unitCount, type UnitKind } from "../../model/units.ts";
import { withUnitValues, type Method } from "./method.ts";

export const MAGNITUDE: Method = {
  summary: "the norm of a unit's weights",
  source: "LLM-Pruner, arXiv 2305.11627, baseline L2",
  defaults: { allocation: { ragged: "global", masked: "global" }, repair: false },
  kinds: ["ffn", "head", "kv-group"],
  matrix: false,
  relevances: (scores, weights) => withUnitValues(scores, "magnitude", (layer, kind) => unitNorms(weights, layer, kind)),
};

async function unitNorms(weights: WeightSource, layer: number, kind: UnitKind): Promise<Float32Array> {
  const sizes = blockSizes(weights.config, layer);
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = sizes;
  const energies = new Float64Array(unitCount(kind, sizes));
  const add = async (role: BlockRole, axis: 0 | 1, linesPerUnit: number): Promise<void> => {
    const lines = await lineEnergies(weights, layer, role, axis);
    for (const [line, energy] of lines.entries()) {
      const unit = Math.floor(line / linesPerUnit);
      energies[unit] = energies[unit]! + energy;
    }
  };
  if (kind === "ffn") for (const role of ["gate", "up"] as const) await add(role, 0, 1);
  if (kind === "ffn") await add("down", 1, 1);
  else {
    const perUnit = (kind === "head" ? 1 : H / G) * K;
    await add("q", 0, perUnit);
    await add("o", 1, perUnit);
    if (kind === "kv-group") for (const role of ["k", "v"] as const) await add(role, 0, K);
  }
  return Float32Array.from(energies, Math.sqrt);
}

/** Σ w² of each row (axis 0) or column (axis 1) of a matrix. */
async function lineEnergies(source: WeightSource, layer: number, role: BlockRole, axis: 0 | 1): Promise<Float64Array> {
  const { config } = source;
  const values = await source.readFloat32(blockTensorName(familyNamed(config.family), layer, role));
  const D = config.hiddenSize;
  // Rows that read the residual stream have D columns; columns that write to it have D rows.
  const columns = axis === 0 ? D : values.length / D;
  const energies = new Float64Array(values.length / D);
  for (let index = 0; index < values.length; index++) {
    const line = axis === 0 ? Math.floor(index / columns) : index % columns;
    energies[line] = energies[line]! + values[index]! ** 2;
  }
  return energies;
}
