/**
 * @file Energies of the attention maps: of the probabilities themselves, and of their change when a rotary pair or a
 * row of q or k is removed.
 * Formulas: docs/architecture.md, "Relevance". Paper: PLND, arXiv 2402.18815, equations 3 to 7.
 */

import { type Halves, type MappedAttention, toHeads } from "./attention-maps.ts";
import type { EnergyContext, EnergyOutput, MapChange } from "./block-energies.ts";
import type { Value } from "./onnx-graph.ts";

const MAP_CHANGE_ENERGIES: readonly EnergyOutput[] = ["rotaryPairs", "queryRows", "keyRows"];

/** Whether any energy is computed from the attention maps, which the fused attention does not output. */
export function needsMaps(energies: ReadonlySet<EnergyOutput>): boolean {
  return energies.has("attentionMap") || MAP_CHANGE_ENERGIES.some((name) => energies.has(name));
}

/**
 * Adds `attentionMap`, `rotaryPairs`, `queryRows` and `keyRows`.
 *
 * Removing a term u[t, s] from the scores changes the probabilities, to first order, by −P ∘ (u − Σ_s P u). With u =
 * α(t)·k_a(s) + β(t)·k_b(s), its squared norm over s expands into sums over s of P² and P times products of k_a and
 * k_b, and those are matrix products.
 */
export function addMapEnergies(context: EnergyContext, attention: MappedAttention): void {
  const { graph: g, energies, shape, cos, sin } = context;
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K, attentionScale } = shape;
  const { probabilities, grouped, query, scaledQuery, key } = attention;
  const tokenRows = g.reshape(context.tokenMask, [0, 1, -1, 1]);
  if (energies.has("attentionMap")) {
    g.output("attentionMap", g.sumOfSquares(g.multiply(probabilities, tokenRows), [1, 2, 3]), ["B"]);
  }
  if (!MAP_CHANGE_ENERGIES.some((name) => energies.has(name))) return;

  const squared = g.multiply(grouped, grouped);
  const maps: AttentionMaps = { ...attention, squared, squaredSum: g.sum(squared, [3], true), tokenRows };
  const change = MAP_CHANGES[context.mapChange];
  const ofKey = change(context, maps, key.rotated);
  const overGroup = (perHead: Value): Value => g.sum(g.reshape(perHead, [0, G, H / G, K / 2]), [2]);
  if (energies.has("rotaryPairs")) g.output("rotaryPairs", overGroup(ofKey(scaledQuery)), ["B", G, K / 2]);

  // A single row before rotation is in both halves after it: row a as (cos, sin), row b as (−sin, cos).
  const rowA = (row: Value): Halves => ({ a: g.multiply(row, cos), b: g.multiply(row, sin) });
  const rowB = (row: Value): Halves => ({ a: g.node("Neg", [g.multiply(row, sin)]), b: g.multiply(row, cos) });
  if (energies.has("queryRows")) {
    const scale = g.scalar(attentionScale);
    const a = ofKey(rowA(g.multiply(query.unrotated.a, scale)));
    const b = ofKey(rowB(g.multiply(query.unrotated.b, scale)));
    g.output("queryRows", g.concat([a, b], 2), ["B", H, K]);
  }
  if (energies.has("keyRows")) {
    const a = overGroup(change(context, maps, rowA(key.unrotated.a))(scaledQuery));
    const b = overGroup(change(context, maps, rowB(key.unrotated.b))(scaledQuery));
    g.output("keyRows", g.concat([a, b], 2), ["B", G, K]);
  }
}

/** A block's attention maps, with the terms that their changes are computed from. */
interface AttentionMaps extends MappedAttention {
  /** P², [B, G, R·T, T] */
  readonly squared: Value;
  /** Sums of P² over s, [B, G, R·T, 1]. */
  readonly squaredSum: Value;
  /** [B, 1, T, 1]: 1 real, 0 padding. */
  readonly tokenRows: Value;
}

/**
 * For keys (k_a, k_b), halves [B, G, T, K/2], a function of the queries (α, β), halves [B, H, T, K/2]: for each head
 * and pair, the energy [B, H, K/2] of the change that removing u = α k_a + β k_b from the scores makes.
 */
type MapChangeEnergy = (context: EnergyContext, maps: AttentionMaps, key: Halves) => (query: Halves) => Value;

const MAP_CHANGES: Readonly<Record<MapChange, MapChangeEnergy>> = { "first-order": firstOrderChange, exact: exactChange };

/** Σ P² u² − 2 ū Σ P² u + ū² Σ P², with ū = Σ P u; all sums over s. */
function firstOrderChange(context: EnergyContext, maps: AttentionMaps, key: Halves): (query: Halves) => Value {
  const { graph: g, shape } = context;
  const pairs = shape.headDim / 2;
  const products = [g.multiply(key.a, key.a), g.multiply(key.a, key.b), g.multiply(key.b, key.b), key.a, key.b];
  const sums = g.split(g.matmul(maps.squared, g.concat(products, 3)), 3, 5);
  const [aa, ab, bb, a, b] = sums as [Value, Value, Value, Value, Value];
  const [meanA, meanB] = g.split(g.matmul(maps.grouped, g.concat([key.a, key.b], 3)), 3, 2) as [Value, Value];
  const twice = (x: Value): Value => g.multiply(x, g.scalar(2));
  return (query) => {
    const alpha = g.reshape(query.a, [0, shape.numKeyValueHeads, -1, pairs]);
    const beta = g.reshape(query.b, [0, shape.numKeyValueHeads, -1, pairs]);
    const combine = (x: Value, y: Value): Value => g.add(g.multiply(alpha, x), g.multiply(beta, y));
    const squares = g.add(g.multiply(g.multiply(alpha, alpha), aa), g.multiply(g.multiply(beta, beta), bb));
    const square = g.add(squares, twice(g.multiply(g.multiply(alpha, beta), ab)));
    const mean = combine(meanA, meanB);
    const cross = twice(g.multiply(mean, combine(a, b)));
    const total = g.add(g.subtract(square, cross), g.multiply(g.multiply(mean, mean), maps.squaredSum));
    // If the energy is zero, cancellation can leave a tiny negative number.
    const perToken = toHeads(context, g.node("Relu", [total]), shape.numAttentionHeads, pairs);
    return g.sum(g.multiply(perToken, maps.tokenRows), [2]);
  };
}

/** ‖softmax(S − u) − softmax(S)‖², one pair after the other: memory stays at a few attention maps. */
function exactChange(context: EnergyContext, maps: AttentionMaps, key: Halves): (query: Halves) => Value {
  const { graph: g, shape } = context;
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = shape;
  return (query) => {
    const perPair = Array.from({ length: K / 2 }, (_, pair) => {
      const column = (x: Value): Value => g.node("Slice", [x, g.integers([pair]), g.integers([pair + 1]), g.integers([3])]);
      const alphaBeta = g.reshape(g.concat([column(query.a), column(query.b)], 3), [0, G, -1, 2]);
      const keys = g.transpose(g.concat([column(key.a), column(key.b)], 3), [0, 1, 3, 2]);
      const without = g.subtract(maps.scores, toHeads(context, g.matmul(alphaBeta, keys), H, "T"));
      const change = g.subtract(g.softmax(without), maps.probabilities);
      return g.sumOfSquares(g.multiply(change, maps.tokenRows), [2, 3], true);
    });
    return g.reshape(g.concat(perPair, 3), [0, H, K / 2]);
  };
}
