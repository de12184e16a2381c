/**
 * @file The scores file: a safetensors file with relevances as tensors and their description as metadata. See
 * docs/scores-file.md.
 */

import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { SafetensorsFile } from "../checkpoint/safetensors/read.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { DIMENSIONS } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import type { MapChange } from "../model/block-energies.ts";
import { RELEVANCE_SOURCES, referencesFor } from "./layer-scorer.ts";
import type { Reference } from "./layer-scorer.ts";
import { unitCount } from "../model/units.ts";
import type { RelevanceKind } from "../model/units.ts";
import type { RelevanceScores, ScoredDocument, TokenRelevance, VocabularyRelevance } from "./relevance.ts";

/** Raised whenever the file's layout or the meaning of a number in it changes. */
export const SCORES_FORMAT_VERSION = 2;

/** The description of the scores in the file. */
export interface ScoresHeader {
  readonly fingerprint: string;
  readonly config: ModelConfig;
  readonly kinds: readonly RelevanceKind[];
  readonly mapChange: MapChange;
  readonly corpora: Readonly<Partial<Record<Dimension, string>>>;
  readonly documents: readonly ScoredDocument[];
  /** Whether tokens were scored. */
  readonly vocabulary: boolean;
}

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

/** The header as safetensors metadata, whose values must be strings. */
export function scoresMetadata(header: ScoresHeader): Readonly<Record<string, string>> {
  return { format: `cusprun-scores-${SCORES_FORMAT_VERSION}`, scores: JSON.stringify(header) };
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
    const header = parseHeader(path, file.metadata);
    // Counted first: a false layer count must not lead to a plan of any size.
    const vocabulary = header.vocabulary ? planVocabularyTensors(header.config, dimensionsOf(header)) : [];
    const tensorCount =
      header.config.numHiddenLayers * (header.kinds.length + referencesFor(header.kinds).length) + vocabulary.length;
    if (tensorCount !== file.tensors.size) throw invalid(path, `${file.tensors.size} tensors`, `${tensorCount} tensors`);
    const layers = planScoresTensors(header.config, header.kinds, header.documents.length);
    for (const { name, shape } of [...layers, ...vocabulary]) {
      const found = file.tensors.get(name);
      if (found === undefined || found.dtype !== "F32" || found.shape.join() !== shape.join()) {
        throw invalid(
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
    this.config = header.config;
    this.fingerprint = header.fingerprint;
    this.documents = header.documents;
    this.corpora = header.corpora;
    this.kinds = header.kinds;
  }

  async read(layer: number, kind: RelevanceKind): Promise<Float32Array> {
    return this.#file.readFloat32(relevanceName(layer, kind));
  }

  async readReference(layer: number, kind: RelevanceKind): Promise<Float32Array> {
    const { reference } = RELEVANCE_SOURCES[kind];
    if (reference === null) return new Float32Array(this.documents.length).fill(1);
    return this.#file.readFloat32(referenceName(layer, reference));
  }

  async readVocabulary(): Promise<VocabularyRelevance | null> {
    if (this.#scoredDimensions === null) return null;
    const V = this.config.vocabSize;
    const readHalves = async (name: string): Promise<[Float64Array, Float64Array]> => {
      const values = await this.#file.readFloat32(name);
      return [Float64Array.from(values.subarray(0, V)), Float64Array.from(values.subarray(V))];
    };
    const relevances = new Map<Dimension, TokenRelevance>();
    for (const dimension of this.#scoredDimensions) {
      const halves = await readHalves(tokenRelevanceName(dimension));
      relevances.set(dimension, { halves, counted: await readHalves(tokenCountsName(dimension)) });
    }
    const [parts, kept] = [await this.#file.readFloat32(TOKEN_PARTS), await this.#file.readFloat32(TOKENS_KEPT)];
    const derivations = new Map<number, readonly [number, number]>();
    const alwaysKept = new Set<number>();
    for (let id = 0; id < V; id++) {
      const [left, right] = [parts[2 * id]!, parts[2 * id + 1]!];
      if (isToken(left, V) && isToken(right, V)) derivations.set(id, [left, right]);
      if (kept[id] === 1) alwaysKept.add(id);
    }
    return { relevances, derivations, alwaysKept };
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function isToken(id: number, V: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < V;
}

/** The scored dimensions, in the fixed order. */
function dimensionsOf({ corpora }: ScoresHeader): readonly Dimension[] {
  return DIMENSIONS.filter((dimension) => corpora[dimension] !== undefined);
}

function relevanceName(layer: number, kind: RelevanceKind): string {
  return `layers.${layer}.${kind}`;
}

function referenceName(layer: number, reference: Reference): string {
  return `layers.${layer}.reference.${reference}`;
}

function parseHeader(path: string, metadata: Readonly<Record<string, string>>): ScoresHeader {
  const expected = `cusprun-scores-${SCORES_FORMAT_VERSION}`;
  if (metadata["format"] !== expected) {
    throw invalid(path, `format ${JSON.stringify(metadata["format"] ?? null)}`, JSON.stringify(expected));
  }
  try {
    const header = JSON.parse(metadata["scores"] ?? "") as ScoresHeader;
    if (isHeader(header)) return header;
  } catch {
    // Reported below as the same error.
  }
  throw invalid(`${path}: metadata 'scores'`, "other content", "the description of a scoring run");
}

/** Checks the structure only: sizes are compared with the tensors later. */
function isHeader(header: ScoresHeader): boolean {
  const known = Object.keys(RELEVANCE_SOURCES);
  return (
    typeof header.fingerprint === "string" &&
    Number.isSafeInteger(header.config?.numHiddenLayers) &&
    Array.isArray(header.config.layerSizes) &&
    header.config.layerSizes.length === header.config.numHiddenLayers &&
    Array.isArray(header.kinds) &&
    header.kinds.every((kind: RelevanceKind) => known.includes(kind)) &&
    typeof header.corpora === "object" &&
    header.corpora !== null &&
    typeof header.vocabulary === "boolean" &&
    Array.isArray(header.documents) &&
    header.documents.every(
      ({ source, tokenCount, dimensions }) =>
        typeof source === "string" &&
        Number.isSafeInteger(tokenCount) &&
        Array.isArray(dimensions) &&
        dimensions.every((dimension: Dimension) => DIMENSIONS.includes(dimension)),
    )
  );
}

function invalid(where: string, found: string, expected: string): CusprunError {
  return new CusprunError("SCORES_INVALID", {
    where,
    found,
    expected,
    remedy: "Score the model again with this version of cusprun",
  });
}
