/**
 * @file The units of a decoder block: the kinds that can be removed, and how many of each a block has.
 */

import type { BlockSizes } from "../checkpoint/check-tensors.ts";

/**
 * Kinds of structural unit. Order of the units inside a layer:
 * `ffn` j of F · `head` h of H · `kv-group` g of G · `value-dim` g·K + i of G·K · `rotary-pair` g·K/2 + p of G·K/2
 * (rows p and p + K/2) · `layer` 0 of 1, the whole layer.
 */
export const UNIT_KINDS = ["ffn", "head", "kv-group", "value-dim", "rotary-pair", "layer"] as const;

/** A kind of structural unit. */
export type UnitKind = (typeof UNIT_KINDS)[number];

/**
 * The paper's neurons: one row or column of one matrix, alone. Rows of gate, up, q, k and v; columns of down and o.
 * Gate row j, up row j and down column j have one relevance, that of the structural unit `ffn` j.
 */
export const MATRIX_KINDS = ["gate", "up", "down", "q", "k", "v", "o"] as const;

/** A matrix whose rows or columns are the paper's neurons. */
export type MatrixKind = (typeof MATRIX_KINDS)[number];

/**
 * Kinds of relevance: those of structural units, those of the paper's neurons that are not also a structural unit's,
 * and `ffn-sum`, which is not a norm: the sum of an FFN unit's activations times the norm of its column of down, for
 * means and variances.
 */
export type RelevanceKind = UnitKind | "q-row" | "k-row" | "o-column" | "ffn-sum";

/** How many units of a kind a block of the dense model has. */
export function unitCount(kind: RelevanceKind, sizes: BlockSizes): number {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K, intermediateSize: F } = sizes;
  switch (kind) {
    case "ffn":
    case "ffn-sum":
      return F;
    case "head":
      return H;
    case "kv-group":
      return G;
    case "value-dim":
    case "k-row":
      return G * K;
    case "rotary-pair":
      return (G * K) / 2;
    case "q-row":
    case "o-column":
      return H * K;
    case "layer":
      return 1;
    default:
      throw kind satisfies never;
  }
}
