/**
 * @file What one run of a decoder block computes: the part of the block, where it starts, and its outputs. A
 * combination that makes no sense has no value of the type.
 */

import type { EnergyOutput, MapChange } from "./block-energies.ts";
import type { OutputRole } from "../families/roles.ts";

/** The whole block: from the residual stream `x` before it to `y` after it. */
export interface WholeBlockRequest {
  readonly part: "block";
  /** Also output the residual stream after the attention, as `attentionStream`. */
  readonly attentionStream?: true;
  /** Also output energies, for scoring. */
  readonly energies?: EnergyRequest;
}

/** Energies, from which relevances are computed. */
export interface EnergyRequest {
  readonly outputs: readonly EnergyOutput[];
  /** How changes of the attention maps are computed. */
  readonly mapChange: MapChange;
}

/**
 * One sublayer. `attention`: from the residual stream `x` before the block to `attentionStream`. `ffn`: from `x`, the
 * residual stream after the attention, to `y`.
 */
export interface SublayerRequest {
  readonly part: "attention" | "ffn";
  /** Also output the sums of squares of what its matrices multiply (block-inputs.ts). */
  readonly inputSquares?: true;
}

/**
 * The normal equations of an output matrix, for repair (block-fit.ts). Such a run comes before its matrix is known: it
 * outputs no hidden states. `x` is the residual stream before the block, or for `down` that after the attention.
 */
export type FitRequest =
  | { readonly part: "fit"; readonly matrix: OutputRole; readonly from: "block" }
  | { readonly part: "fit"; readonly matrix: "down"; readonly from: "attentionStream" };

/** What a run of a block computes. */
export type BlockRequest = WholeBlockRequest | SublayerRequest | FitRequest;

/** The whole block, hidden states alone. */
export const WHOLE_BLOCK: WholeBlockRequest = { part: "block" };

/** Outputs of the shape [B, T, D], by name. */
export function streamOutputs(request: BlockRequest): readonly ("y" | "attentionStream")[] {
  switch (request.part) {
    case "block":
      return request.attentionStream ? ["y", "attentionStream"] : ["y"];
    case "attention":
      return ["attentionStream"];
    case "ffn":
      return ["y"];
    case "fit":
      return [];
    default:
      throw request satisfies never;
  }
}
