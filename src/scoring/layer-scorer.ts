/**
 * @file From a block's energies to relevances: the formulas that combine the sums of the graph with norms of the
 * weights. Derivations: docs/architecture.md, "Relevance".
 *
 *     unit           relevance: norm over a document's tokens of the change of the sublayer's output
 *     ffn j          ‖a_j‖ · ‖W_down[:, j]‖
 *     ffn-sum j      Σ a_j · ‖W_down[:, j]‖: not a relevance, but used for variances
 *     head h         √ Σ (XᵀX ∘ WᵀW) over the head's columns; kv-group and value-dim: over theirs, cross terms included
 *     o-column c     ‖x_c‖ · ‖W_o[:, c]‖
 *
 *     unit           relevance: norm over a document's tokens of the change of the attention probabilities
 *     rotary-pair, q-row, k-row    ‖P ∘ (u − Σ P u)‖, first order
 *
 *     unit           relevance: Block Influence of ShortGPT, arXiv 2403.03853
 *     layer          mean over tokens of 1 − cos(x, y), x before and y after the block
 *
 * With a post norm (`postAttentionNorm`, `postFfnNorm`), the output is that of the norm, its denominator held fixed.
 */

import type { BlockSizes } from "../checkpoint/check-tensors.ts";
import { isFinite32 } from "../checkpoint/finite.ts";
import type { BlockRole } from "../families/roles.ts";
import type { Batch } from "../model/batches.ts";
import type { EnergyOutput } from "../model/block-energies.ts";
import type { BlockShape } from "../model/block-shape.ts";
import type { BlockOutputs, BlockWeights } from "../model/layer-program.ts";
import { OnnxGraph } from "../model/onnx-graph.ts";
import { unitCount } from "../model/units.ts";
import type { RelevanceKind } from "../model/units.ts";
import { GraphSession } from "../model/sessions.ts";
import type { Feed } from "../model/sessions.ts";

/** The quantity that relevances of a kind are compared with, as a share of it. */
export type Reference = "ffn" | "attention" | "attention-map";

/** The energy from which each kind is computed, and its reference: null for kinds that are a share already. */
export const RELEVANCE_SOURCES: Readonly<
  Record<RelevanceKind, { readonly energy: EnergyOutput; readonly reference: Reference | null }>
> = {
  ffn: { energy: "ffn", reference: "ffn" },
  "ffn-sum": { energy: "ffnSums", reference: "ffn" },
  head: { energy: "heads", reference: "attention" },
  "kv-group": { energy: "heads", reference: "attention" },
  "value-dim": { energy: "valueDims", reference: "attention" },
  "o-column": { energy: "context", reference: "attention" },
  "rotary-pair": { energy: "rotaryPairs", reference: "attention-map" },
  "q-row": { energy: "queryRows", reference: "attention-map" },
  "k-row": { energy: "keyRows", reference: "attention-map" },
  layer: { energy: "blockInfluence", reference: null },
};

const REFERENCE_ENERGIES: Readonly<Record<Reference, EnergyOutput>> = {
  ffn: "ffnResidual",
  attention: "attentionResidual",
  "attention-map": "attentionMap",
};

/** Energies that a block must output for these kinds. */
export function energiesFor(kinds: readonly RelevanceKind[]): readonly EnergyOutput[] {
  const energies = kinds.map((kind) => RELEVANCE_SOURCES[kind].energy);
  return [...new Set([...energies, ...referencesFor(kinds).map((reference) => REFERENCE_ENERGIES[reference])])];
}

/** References that these kinds need. */
export function referencesFor(kinds: readonly RelevanceKind[]): readonly Reference[] {
  return [...new Set(kinds.map((kind) => RELEVANCE_SOURCES[kind].reference).filter((reference) => reference !== null))];
}

/** Relevances of one layer, filled batch by batch. */
export class LayerScores {
  /** [N, unitCount(kind)] by kind. */
  readonly relevances: Map<RelevanceKind, Float32Array<ArrayBuffer>> = new Map();
  /** [N] by reference. */
  readonly references: Map<Reference, Float32Array<ArrayBuffer>> = new Map();
  readonly #sizes: BlockSizes;
  readonly #documentCount: number;
  readonly #columnNorms: Readonly<Partial<Record<RelevanceKind, Float32Array>>>;

  constructor(sizes: BlockSizes, kinds: readonly RelevanceKind[], documentCount: number, block: BlockWeights) {
    this.#sizes = sizes;
    this.#documentCount = documentCount;
    for (const kind of kinds) this.relevances.set(kind, new Float32Array(documentCount * unitCount(kind, sizes)));
    for (const reference of referencesFor(kinds)) this.references.set(reference, new Float32Array(documentCount));
    const norms: Partial<Record<RelevanceKind, Float32Array>> = {};
    for (const kind of ["ffn", "ffn-sum"] as const)
      if (kinds.includes(kind)) norms[kind] = columnNorms(block, "down", "postFfnNorm");
    if (kinds.includes("o-column")) norms["o-column"] = columnNorms(block, "o", "postAttentionNorm");
    this.#columnNorms = norms;
  }

  /** Adds the block's outputs for one batch. */
  add(batch: Batch, energies: BlockOutputs): void {
    for (const [kind, target] of this.relevances) {
      const count = unitCount(kind, this.#sizes);
      const energy = energies[RELEVANCE_SOURCES[kind].energy]!;
      const perUnit = kind === "head" ? this.#headEnergies(energy) : kind === "kv-group" ? this.#groupEnergies(energy) : energy;
      const norms = this.#columnNorms[kind];
      for (const [row, document] of batch.documents.entries()) {
        for (let unit = 0; unit < count; unit++) {
          // Rounding of a Gram matrix with cross terms can leave a tiny negative number.
          const value = perUnit[row * count + unit]!;
          const norm = kind === "ffn-sum" || kind === "layer" ? value : Math.sqrt(Math.max(0, value));
          target[document * count + unit] = norm * (norms?.[unit] ?? 1);
        }
      }
    }
    for (const [reference, target] of this.references) {
      const energy = energies[REFERENCE_ENERGIES[reference]]!;
      for (const [row, document] of batch.documents.entries()) target[document] = Math.sqrt(energy[row]!);
    }
  }

  /**
   * Refuses relevances and references that are not finite: with finite weights, the model overflows on a document.
   * @param refusal makes the error.
   */
  checkFinite(refusal: (content: string, document: number) => Error): void {
    for (const [content, values] of [...this.relevances, ...this.references]) {
      if (isFinite32(values)) continue;
      const width = values.length / this.#documentCount;
      throw refusal(content, Math.floor(values.findIndex((value) => !Number.isFinite(value)) / width));
    }
  }

  /** [B, G, R, R] → [B, H]: the diagonal. */
  #headEnergies(gram: Float32Array): Float32Array {
    const R = this.#sizes.numAttentionHeads / this.#sizes.numKeyValueHeads;
    return Float32Array.from({ length: gram.length / R }, (_, index) => {
      const r = index % R;
      return gram[(index - r) * R + r * R + r]!;
    });
  }

  /** [B, G, R, R] → [B, G]: all of it. */
  #groupEnergies(gram: Float32Array): Float32Array {
    const size = (this.#sizes.numAttentionHeads / this.#sizes.numKeyValueHeads) ** 2;
    return Float32Array.from({ length: gram.length / size }, (_, group) =>
      gram.subarray(group * size, (group + 1) * size).reduce((sum, value) => sum + value, 0),
    );
  }
}

/** L2 norm of each column of a [D, n] matrix, its rows first scaled by the post norm's weight if there is one. */
export function columnNorms(block: BlockWeights, role: "down" | "o", postNorm: BlockRole): Float32Array {
  const matrix = block.get(role)!;
  const rowScale = block.get(postNorm)?.data as Float32Array | undefined;
  const [rows, columns] = matrix.shape as [number, number];
  const data = matrix.data as Float32Array;
  const energies = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    const scale = (rowScale?.[row] ?? 1) ** 2;
    const offset = row * columns;
    for (let column = 0; column < columns; column++) {
      const value = data[offset + column]!;
      energies[column] = energies[column]! + scale * value * value;
    }
  }
  return Float32Array.from(energies, Math.sqrt);
}

/** Computes `outputGram` [G, R·K, R·K] of a layer, the WᵀW of o's columns within each KV group. */
export class OutputGram {
  readonly #session: GraphSession;
  readonly #shape: BlockShape;

  private constructor(session: GraphSession, shape: BlockShape) {
    this.#session = session;
    this.#shape = shape;
  }

  /** Compiles the product for a block shape. */
  static async create(shape: BlockShape): Promise<OutputGram> {
    const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = shape;
    const graph = new OnnxGraph();
    const o = graph.input("o", [D, H * K]);
    const rowScale = graph.input("rowScale", [D, 1]);
    const columns = graph.transpose(graph.reshape(graph.multiply(o, rowScale), [D, G, -1]), [1, 2, 0]);
    const gram = graph.matmul(columns, graph.transpose(columns, [0, 2, 1]));
    graph.output("gram", gram, [G, (H / G) * K, (H / G) * K]);
    return new OutputGram(await GraphSession.create(graph.serialize()), shape);
  }

  /** The Gram matrices of one layer's o, its rows scaled by the post norm's weight if there is one. */
  async compute(block: BlockWeights): Promise<Feed> {
    const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: G, headDim: K } = this.#shape;
    const rowScale = block.get("postAttentionNorm")?.data ?? new Float32Array(D).fill(1);
    const { gram } = await this.#session.run({ o: block.get("o")!, rowScale: { data: rowScale, shape: [D, 1] } });
    return { data: gram!, shape: [G, (H / G) * K, (H / G) * K] };
  }

  /** Frees the session. */
  async close(): Promise<void> {
    await this.#session.close();
  }
}
