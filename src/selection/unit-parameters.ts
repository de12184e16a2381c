/**
 * @file The parameters that a unit's removal frees, alone and after other units were removed. Units of different kinds
 * share parameters (a query head and a value dimension meet in a column of o), so a ledger counts each parameter that a
 * layer loses once.
 * Source: docs/architecture.md, "Units and what they free", plus the biases of removed rows.
 */

import { familyNamed } from "../families/index.ts";
import type { BlockRole } from "../families/roles.ts";
import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { BlockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { countBlock } from "../checkpoint/parameters.ts";
import { unitCount } from "../model/units.ts";
import type { UnitKind } from "../model/units.ts";
import { relevanceKindOf } from "./plan.ts";
import type { CutKind, RemovedFromLayer } from "./plan.ts";

/** Sizes of a block, and the parameters of one row or column of its matrices, biases included. */
export interface BlockCosts {
  readonly sizes: BlockSizes;
  /** R = H / G, query heads per group. */
  readonly headsPerGroup: number;
  readonly qRow: number;
  readonly kRow: number;
  readonly vRow: number;
  readonly oColumn: number;
  /** Row of gate or up, or column of down. */
  readonly ffnRow: number;
  /** The whole block. */
  readonly block: number;
}

/**
 * Costs of the rows and columns of a layer's block.
 * @param optionalRoles the family's optional block tensors that the checkpoint has (biases).
 */
export function blockCosts(config: ModelConfig, layer: number, optionalRoles: readonly BlockRole[] = []): BlockCosts {
  const sizes = blockSizes(config, layer);
  const roles = new Set([...familyNamed(config.family).requiredRoles, ...optionalRoles]);
  const row = (bias: BlockRole): number => config.hiddenSize + (roles.has(bias) ? 1 : 0);
  return {
    sizes,
    headsPerGroup: sizes.numAttentionHeads / sizes.numKeyValueHeads,
    qRow: row("qBias"),
    kRow: row("kBias"),
    vRow: row("vBias"),
    oColumn: config.hiddenSize,
    ffnRow: config.hiddenSize,
    block: countBlock(sizes, roles).total,
  };
}

/** Parameters that one unit frees in a layer that has lost nothing else. */
export function unitParameters(kind: CutKind, costs: BlockCosts): number {
  const { headsPerGroup: R, qRow, kRow, vRow, oColumn, ffnRow } = costs;
  const K = costs.sizes.headDim;
  switch (kind) {
    case "ffn":
      return 3 * ffnRow;
    case "head":
      return K * (qRow + oColumn);
    case "kv-group":
      return K * (kRow + vRow + R * (qRow + oColumn));
    case "value-dim":
      return vRow + R * oColumn;
    case "rotary-pair":
      return 2 * (kRow + R * qRow);
    case "layer":
      return costs.block;
    case "matrix:gate":
    case "matrix:up":
    case "matrix:down":
      return ffnRow;
    case "matrix:q":
      return qRow;
    case "matrix:k":
      return kRow;
    case "matrix:v":
      return vRow;
    case "matrix:o":
      return oColumn;
    default:
      throw kind satisfies never;
  }
}

/** How many units of a kind of cut a block of the dense model has. */
export function cutUnitCount(kind: CutKind, sizes: BlockSizes): number {
  return unitCount(relevanceKindOf(kind), sizes);
}

/** The units that one layer has lost so far, and the parameters that they freed. */
export class LayerLedger {
  /** Parameters freed so far. */
  freed = 0;
  private readonly costs: BlockCosts;
  private readonly taken = new Map<CutKind, Uint8Array>();
  private readonly keptCounts = new Map<CutKind, number>();

  constructor(costs: BlockCosts) {
    this.costs = costs;
  }

  /** Whether a unit was removed, by itself or with its KV group. */
  isGone(kind: CutKind, index: number): boolean {
    if (this.taken.get(kind)?.[index] === 1) return true;
    const group = this.groupOf(kind, index);
    return group !== null && this.taken.get("kv-group")?.[group] === 1;
  }

  /** Parameters that removing a unit would free now; 0 if it is gone already. */
  gainOf(kind: CutKind, index: number): number {
    if (this.isGone(kind, index)) return 0;
    const { qRow, kRow, vRow, oColumn } = this.costs;
    const K = this.costs.sizes.headDim;
    const group = this.groupOf(kind, index);
    if (group === null) return unitParameters(kind, this.costs);
    const rotaryLeft = K - 2 * this.goneIn("rotary-pair", group, K / 2);
    const valueLeft = K - this.goneIn("value-dim", group, K);
    const headsLeft = this.costs.headsPerGroup - this.goneIn("head", group, this.costs.headsPerGroup);
    const headGain = rotaryLeft * qRow + valueLeft * oColumn;
    if (kind === "head") return headGain;
    if (kind === "kv-group") return headsLeft * headGain + rotaryLeft * kRow + valueLeft * vRow;
    if (kind === "value-dim") return vRow + headsLeft * oColumn;
    return 2 * (kRow + headsLeft * qRow);
  }

  /** Units of a kind that are left. */
  kept(kind: CutKind): number {
    return this.keptCounts.get(kind) ?? cutUnitCount(kind, this.costs.sizes);
  }

  /**
   * Whether removing a unit leaves at least the share `floor`, in [0, 1], and at least one unit, of every kind it takes
   * from.
   */
  mayRemove(kind: CutKind, index: number, floor: number): boolean {
    const leaves = (of: CutKind, lost: number): boolean =>
      this.kept(of) - lost >= Math.max(1, Math.ceil(floor * cutUnitCount(of, this.costs.sizes)));
    return leaves(kind, 1) && (kind !== "kv-group" || leaves("head", this.headsLeft(index)));
  }

  /** Removes a unit that is not gone yet. */
  remove(kind: CutKind, index: number): void {
    this.freed += this.gainOf(kind, index);
    if (kind === "kv-group") this.keptCounts.set("head", this.kept("head") - this.headsLeft(index));
    this.keptCounts.set(kind, this.kept(kind) - 1);
    let taken = this.taken.get(kind);
    if (taken === undefined) this.taken.set(kind, (taken = new Uint8Array(cutUnitCount(kind, this.costs.sizes))));
    taken[index] = 1;
  }

  private headsLeft(group: number): number {
    return this.costs.headsPerGroup - this.goneIn("head", group, this.costs.headsPerGroup);
  }

  /** Units of a kind that were removed by themselves from a group that has `perGroup` of them. */
  private goneIn(kind: UnitKind, group: number, perGroup: number): number {
    const taken = this.taken.get(kind);
    if (taken === undefined) return 0;
    let count = 0;
    for (let i = group * perGroup; i < (group + 1) * perGroup; i++) count += taken[i]!;
    return count;
  }

  /** The KV group that a unit belongs to; null for units outside attention and for the paper's rows and columns. */
  private groupOf(kind: CutKind, index: number): number | null {
    const { headsPerGroup: R, sizes } = this.costs;
    const perGroup: Partial<Record<CutKind, number>> = {
      "kv-group": 1,
      head: R,
      "value-dim": sizes.headDim,
      "rotary-pair": sizes.headDim / 2,
    };
    const unitsPerGroup = perGroup[kind];
    return unitsPerGroup === undefined ? null : Math.floor(index / unitsPerGroup);
  }
}

/** Parameters that a layer's cuts remove, each counted once. */
export function removedParameters(layer: RemovedFromLayer, costs: BlockCosts): number {
  const ledger = new LayerLedger(costs);
  for (const [kind, cut] of Object.entries(layer.cuts)) {
    for (const index of cut.removed) if (!ledger.isGone(kind as CutKind, index)) ledger.remove(kind as CutKind, index);
  }
  return ledger.freed;
}
