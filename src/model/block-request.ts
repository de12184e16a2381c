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

/** The attention alone, from the residual stream `x` before the block: outputs `attentionStream`. */
export interface AttentionRequest {
  readonly part: "attention";
}

/**
 * A sublayer up to its output matrix, for repair: outputs `inner` [B, T, n], what that matrix multiplies, and with a
 * norm after it `tokenScale` [B, T], 1/rms of what its current weights make of `inner`. `x` is the residual stream
 * before the sublayer; for `down` from the whole block it is that before the attention, and `attentionStream` is output
 * too.
 */
export type InnerRequest = { readonly part: "inner" } & (
  | { readonly matrix: OutputRole; readonly from: "sublayer" }
  | { readonly matrix: "down"; readonly from: "block" }
) & {
    /** Also output the sums of squares of what the sublayer's matrices multiply (block-inputs.ts). */
    readonly inputSquares?: true;
  };

/**
 * A sublayer from the input of its output matrix on: from the further input `inner` [B, T, n] and the residual stream
 * `x` before the sublayer to `y` after it.
 */
export interface OutputRequest {
  readonly part: "output";
  readonly matrix: OutputRole;
}

/** What a run of a block computes. */
export type BlockRequest = WholeBlockRequest | AttentionRequest | InnerRequest | OutputRequest;

/** The whole block, hidden states alone. */
export const WHOLE_BLOCK: WholeBlockRequest = { part: "block" };

/** Outputs of the shape [B, T, D], by name. */
export function streamOutputs(request: BlockRequest): readonly ("y" | "attentionStream")[] {
  switch (request.part) {
    case "block":
      return request.attentionStream ? ["y", "attentionStream"] : ["y"];
    case "attention":
      return ["attentionStream"];
    case "output":
      return ["y"];
    case "inner":
      return request.from === "block" ? ["attentionStream"] : [];
    default:
      throw request satisfies never;
  }
}
