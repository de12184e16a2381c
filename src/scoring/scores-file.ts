/**
 * @file The scores file: a safetensors file with relevances as tensors and their description as metadata. See
 * docs/scores-file.md.
 */

import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { ModelIdentity } from "../checkpoint/identity.ts";
import { SafetensorsFile } from "../checkpoint/safetensors/read.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { RELEVANCE_SOURCES, referencesFor } from "./layer-scorer.ts";
import type { Reference } from "./layer-scorer.ts";
import { unitCount } from "../model/units.ts";
import type { RelevanceKind } from "../model/units.ts";
import type { RelevanceScores, ScoredDocument, TokenRelevance, VocabularyRelevance } from "./relevance.ts";
import { dimensionsOf, parseScoresMetadata, scoresInvalid, type ScoresHeader } from "./scores-header.ts";
import { checkFlags, checkParts, checkReferences, checkRelevances, checkShares } from "./scores-values.ts";

/** What one tensor of the file holds. */
export type ScoresContent =
  | { readonly type: "relevance"; readonly kind: RelevanceKind }
  | { readonly type: "reference"; readonly reference: Reference };

/** A tensor of a layer before its values are known. */
export interface ScoresTensor {
  readonly layer: number;
  readonly content: ScoresContent;
  readonly name: string;
  readonly shape: readonly number[];
}

/** The file's tensors, layer by layer. N = `documentCount`. */
export function planScoresTensors(
  config: ModelConfig,
  kinds: readonly RelevanceKind[],
  documentCount: number,
): readonly ScoresTensor[] {
  return Array.from({ length: config.numHiddenLayers }, (_, layer) => [
    ...kinds.map((kind) => ({
      layer,
      content: { type: "relevance", kind } as const,
      name: relevanceName(layer, kind),
      shape: [documentCount, unitCount(kind, blockSizes(config, layer))],
    })),
    ...referencesFor(kinds).map((reference) => ({
      layer,
      content: { type: "reference", reference } as const,
      name: referenceName(layer, reference),
      shape: [documentCount],
    })),
  ]).flat();
}

/**
 * The tensors that follow the layers' if tokens were scored: relevances, the parts of each token (−1 if it has none),
 * and a flag for tokens that are always kept.
 */
export function planVocabularyTensors(
  { vocabSize: V }: ModelConfig,
  dimensions: readonly Dimension[],
): readonly { readonly name: string; readonly shape: readonly number[] }[] {
  return [
    ...dimensions.flatMap((dimension) => [
      { name: tokenRelevanceName(dimension), shape: [2, V] },
      { name: tokenCountsName(dimension), shape: [2, V] },
    ]),
    { name: TOKEN_PARTS, shape: [V, 2] },
    { name: TOKENS_KEPT, shape: [V] },
  ];
}

const TOKEN_PARTS = "vocabulary.parts";
const TOKENS_KEPT = "vocabulary.kept";

function tokenRelevanceName(dimension: Dimension): string {
  return `vocabulary.relevance.${dimension}`;
}

function tokenCountsName(dimension: Dimension): string {
  return `vocabulary.counted.${dimension}`;
}

/**
 * Values of the tensors that `planVocabularyTensors` names, in its order. Ids are whole in f32: vocabularies are far
 * smaller than 2²⁴.
 */
export function vocabularyValues(
  V: number,
  { relevances, derivations, alwaysKept }: VocabularyRelevance,
): Float32Array<ArrayBuffer>[] {
  const parts = new Float32Array(2 * V).fill(-1);
  for (const [id, pair] of derivations) parts.set(pair, 2 * id);
  return [
    ...[...relevances.values()].flatMap(({ halves, counted }) => [join(halves), join(counted)]),
    parts,
    Float32Array.from({ length: V }, (_, id) => (alwaysKept.has(id) ? 1 : 0)),
  ];
}

function join([first, second]: readonly [Float64Array, Float64Array]): Float32Array<ArrayBuffer> {
  const joined = new Float32Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

/**
 * Opens a scores file and checks that it is complete.
 * @throws CusprunError `SCORES_INVALID`, and errors of reading safetensors.
 * @example
 * ```ts
 * import { openScores } from "cusprun";
 *
 * const scores = await openScores("smollm2.scores.safetensors");
 * try {
 *   const relevances = await scores.read(0, "ffn"); // [documents, FFN units of layer 0], row-major
 *   const units = relevances.length / scores.documents.length;
 *   console.log(scores.documents[0]?.source, relevances.subarray(0, units));
 * } finally {
 *   await scores.close();
 * }
 * ```
 */
export async function openScores(path: string): Promise<RelevanceScores> {
  const file = await SafetensorsFile.open(path);
  try {
    const header = parseScoresMetadata(path, file.metadata);
    // Counted first: a false layer count must not lead to a plan of any size.
    const vocabulary = header.vocabulary ? planVocabularyTensors(header.config, dimensionsOf(header)) : [];
    const tensorCount =
      header.config.numHiddenLayers * (header.kinds.length + referencesFor(header.kinds).length) + vocabulary.length;
    if (tensorCount !== file.tensors.size) throw scoresInvalid(path, `${file.tensors.size} tensors`, `${tensorCount} tensors`);
    const layers = planScoresTensors(header.config, header.kinds, header.documents.length);
    for (const { name, shape } of [...layers, ...vocabulary]) {
      const found = file.tensors.get(name);
      if (found === undefined || found.dtype !== "F32" || found.shape.join() !== shape.join()) {
        throw scoresInvalid(
          `${path}: tensor '${name}'`,
          found === undefined ? "no such tensor" : `${found.dtype} [${found.shape.join(", ")}]`,
          `F32 [${shape.join(", ")}]`,
        );
      }
    }
    return new ScoresReader(file, header);
  } catch (error) {
    await file.close();
    throw error;
  }
}

class ScoresReader implements RelevanceScores {
  readonly model: ModelIdentity;
  readonly config: ModelConfig;
  readonly fingerprint: string;
  readonly documents: readonly ScoredDocument[];
  readonly corpora: Readonly<Partial<Record<Dimension, string>>>;
  readonly kinds: readonly RelevanceKind[];
  readonly #file: SafetensorsFile;
  readonly #scoredDimensions: readonly Dimension[] | null;

  constructor(file: SafetensorsFile, header: ScoresHeader) {
    this.#file = file;
    this.#scoredDimensions = header.vocabulary ? dimensionsOf(header) : null;
    this.model = header.model;
    this.config = header.config;
    this.fingerprint = header.fingerprint;
    this.documents = header.documents;
    this.corpora = header.corpora;
    this.kinds = header.kinds;
  }

  async read(layer: number, kind: RelevanceKind): Promise<Float32Array> {
    const N = this.documents.length;
    return this.#values(relevanceName(layer, kind), (where, values) => checkRelevances(where, kind, values, N));
  }

  async readReference(layer: number, kind: RelevanceKind): Promise<Float32Array> {
    const { reference } = RELEVANCE_SOURCES[kind];
    if (reference === null) return new Float32Array(this.documents.length).fill(1);
    return this.#values(referenceName(layer, reference), checkReferences);
  }

  async readVocabulary(): Promise<VocabularyRelevance | null> {
    if (this.#scoredDimensions === null) return null;
    const V = this.config.vocabSize;
    const readHalves = async (name: string): Promise<[Float64Array, Float64Array]> => {
      const values = await this.#values(name, checkShares);
      return [Float64Array.from(values.subarray(0, V)), Float64Array.from(values.subarray(V))];
    };
    const relevances = new Map<Dimension, TokenRelevance>();
    for (const dimension of this.#scoredDimensions) {
      const halves = await readHalves(tokenRelevanceName(dimension));
      relevances.set(dimension, { halves, counted: await readHalves(tokenCountsName(dimension)) });
    }
    const parts = await this.#values(TOKEN_PARTS, checkParts);
    const kept = await this.#values(TOKENS_KEPT, checkFlags);
    const derivations = new Map<number, readonly [number, number]>();
    const alwaysKept = new Set<number>();
    for (let id = 0; id < V; id++) {
      if (parts[2 * id] !== -1) derivations.set(id, [parts[2 * id]!, parts[2 * id + 1]!]);
      if (kept[id] === 1) alwaysKept.add(id);
    }
    return { relevances, derivations, alwaysKept };
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Values of a tensor, checked as they are read. */
  async #values(name: string, check: (where: string, values: Float32Array) => void): Promise<Float32Array> {
    const values = await this.#file.readFloat32(name);
    check(`${this.#file.path}: tensor '${name}'`, values);
    return values;
  }
}

function relevanceName(layer: number, kind: RelevanceKind): string {
  return `layers.${layer}.${kind}`;
}

function referenceName(layer: number, reference: Reference): string {
  return `layers.${layer}.reference.${reference}`;
}
