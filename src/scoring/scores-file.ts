/**
 * @file The scores file: safetensors whose tensors are relevances and whose metadata say of what. Documented in docs/scores-file.md.
 */

import { blockSizes } from "../checkpoint/check-tensors.ts";
import type { ModelConfig } from "../checkpoint/model-config.ts";
import { SafetensorsFile } from "../checkpoint/safetensors-read.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { DIMENSIONS } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import type { MapChange } from "./block-energies.ts";
import { RELEVANCE_SOURCES, referencesFor } from "./layer-scorer.ts";
import type { Reference } from "./layer-scorer.ts";
import { unitCount } from "./relevance.ts";
import type { RelevanceKind, RelevanceScores, ScoredDocument } from "./relevance.ts";

/** Raised whenever the file's layout or the meaning of a number in it changes. */
export const SCORES_FORMAT_VERSION = 2;

/** What the file says of its scores. */
export interface ScoresHeader {
  readonly fingerprint: string;
  readonly config: ModelConfig;
  readonly kinds: readonly RelevanceKind[];
  readonly mapChange: MapChange;
  readonly corpora: Readonly<Partial<Record<Dimension, string>>>;
  readonly documents: readonly ScoredDocument[];
}

/** What one tensor of the file holds. */
export type ScoresContent =
  | { readonly type: "relevance"; readonly kind: RelevanceKind }
  | { readonly type: "reference"; readonly reference: Reference };

/** A tensor of the file before its values are known. */
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

/** The header as safetensors metadata, whose values must be strings. */
export function scoresMetadata(header: ScoresHeader): Readonly<Record<string, string>> {
  return { format: `cusprun-scores-${SCORES_FORMAT_VERSION}`, scores: JSON.stringify(header) };
}

/**
 * Opens a scores file and checks that it is one and whole.
 * @throws CusprunError `SCORES_INVALID`, and what reading safetensors throws.
 */
export async function openScores(path: string): Promise<RelevanceScores> {
  const file = await SafetensorsFile.open(path);
  try {
    const header = parseHeader(path, file.metadata);
    // Counted first: a lying layer count must not make a plan of any size.
    const tensorCount = header.config.numHiddenLayers * (header.kinds.length + referencesFor(header.kinds).length);
    if (tensorCount !== file.tensors.size) throw invalid(path, `${file.tensors.size} tensors`, `${tensorCount} tensors`);
    for (const { name, shape } of planScoresTensors(header.config, header.kinds, header.documents.length)) {
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

  constructor(file: SafetensorsFile, header: ScoresHeader) {
    this.#file = file;
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
    return this.#file.readFloat32(referenceName(layer, RELEVANCE_SOURCES[kind].reference));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
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
    // Reported below, as the same defect.
  }
  throw invalid(`${path}: metadata 'scores'`, "something else", "the description of a scoring run");
}

/** Structure only: sizes are compared with the tensors afterwards. */
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
