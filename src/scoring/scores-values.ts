/**
 * @file Checks of the numbers in a scores file: each must be one that scoring can write, since any other would change a
 * plan silently.
 */

import type { RelevanceKind } from "../model/units.ts";
import { scoresInvalid } from "./scores-header.ts";

/** The values that a tensor may hold, and what they are called in messages. */
interface Range {
  readonly least: number;
  readonly most: number;
  readonly expected: string;
}

const NORMS: Range = { least: 0, most: Number.MAX_VALUE, expected: "a finite number from 0" };
const SUMS: Range = { least: -Number.MAX_VALUE, most: Number.MAX_VALUE, expected: "a finite number" };
/** 1 − cos, with room for rounding. */
const INFLUENCES: Range = { least: -0.001, most: 2.001, expected: "a number from 0 to 2" };
/** Shares of tokens, with room for rounding. */
const SHARES: Range = { least: 0, most: 1.001, expected: "a share from 0 to 1" };

/** Checks the relevances of a kind, [N, U]. @throws CusprunError `SCORES_INVALID`. */
export function checkRelevances(where: string, kind: RelevanceKind, values: Float32Array, documentCount: number): void {
  const range = kind === "ffn-sum" ? SUMS : kind === "layer" ? INFLUENCES : NORMS;
  const units = values.length / documentCount;
  checkRange(where, values, range, (index) => `for document ${Math.floor(index / units)}, unit ${index % units}`);
}

/** Checks references, [N]. @throws CusprunError `SCORES_INVALID`. */
export function checkReferences(where: string, values: Float32Array): void {
  checkRange(where, values, NORMS, (index) => `for document ${index}`);
}

/** Checks shares of tokens, [2, V]. @throws CusprunError `SCORES_INVALID`. */
export function checkShares(where: string, values: Float32Array): void {
  checkRange(where, values, SHARES, (index) => `for token ${index % (values.length / 2)}`);
}

/** Checks flags of tokens, [V]. @throws CusprunError `SCORES_INVALID`. */
export function checkFlags(where: string, values: Float32Array): void {
  const index = values.findIndex((value) => value !== 0 && value !== 1);
  if (index >= 0) throw scoresInvalid(where, `${values[index]} for token ${index}`, "0 or 1");
}

/**
 * Checks the two parts of each token, [V, 2], −1 for a token without parts: whole ids, and no token inside its own
 * parts.
 * @throws CusprunError `SCORES_INVALID`.
 */
export function checkParts(where: string, parts: Float32Array): void {
  const V = parts.length / 2;
  const wholes = new Uint32Array(V);
  for (let id = 0; id < V; id++) {
    const [left, right] = [parts[2 * id]!, parts[2 * id + 1]!];
    if (left === -1 && right === -1) continue;
    if (!isToken(left, V) || !isToken(right, V))
      throw scoresInvalid(where, `${left} and ${right} for token ${id}`, `two ids under ${V}, or −1 twice`);
    wholes[left]! += 1;
    wholes[right]! += 1;
  }
  // Tokens are taken away from the wholes down to the parts; those that are left contain each other.
  const free = [...wholes.keys()].filter((id) => wholes[id] === 0);
  let taken = 0;
  for (let id = free.pop(); id !== undefined; id = free.pop()) {
    taken += 1;
    if (parts[2 * id] === -1) continue;
    for (const part of [parts[2 * id]!, parts[2 * id + 1]!]) {
      wholes[part]! -= 1;
      if (wholes[part] === 0) free.push(part);
    }
  }
  if (taken === V) return;
  const id = wholes.findIndex((count, token) => count > 0 && parts[2 * token] !== -1);
  throw scoresInvalid(where, `token ${id} inside its own parts, or inside those of one that is`, "tokens made of shorter ones");
}

function isToken(id: number, V: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < V;
}

function checkRange(where: string, values: Float32Array, range: Range, placeOf: (index: number) => string): void {
  const { least, most, expected } = range;
  // NaN is in no range.
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    if (!(value >= least && value <= most)) throw scoresInvalid(where, `${value} ${placeOf(index)}`, expected);
  }
}
