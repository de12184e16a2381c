/**
 * @file The description of a scores file, in its metadata. A file that is read is untrusted: it may be truncated,
 * edited or written by another program. Format: docs/scores-file.md.
 */

import { blockSizes, blockTensorShape, modelTensorShape } from "../checkpoint/check-tensors.ts";
import type { ModelIdentity } from "../checkpoint/identity.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { checkModelConfig } from "../checkpoint/config/model-config-check.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { DIMENSIONS } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import { blockTensorName, familyNamed, modelTensorName } from "../families/index.ts";
import { FAMILIES } from "../families/table.ts";
import { isJsonObject, parseJson, showValue } from "../json.ts";
import { objectOf, validatorOf } from "../json-schema.ts";
import type { MapChange } from "../model/block-energies.ts";
import type { RelevanceKind } from "../model/units.ts";
import { RELEVANCE_SOURCES } from "./layer-scorer.ts";
import type { ScoredDocument } from "./relevance.ts";

/** Raised whenever the file's layout or the meaning of a number in it changes. */
export const SCORES_FORMAT_VERSION = 3;

/** The description of the scores in the file. */
export interface ScoresHeader {
  readonly fingerprint: string;
  /** The model that was scored. */
  readonly model: ModelIdentity;
  readonly config: ModelConfig;
  readonly kinds: readonly RelevanceKind[];
  readonly mapChange: MapChange;
  readonly corpora: Readonly<Partial<Record<Dimension, string>>>;
  readonly documents: readonly ScoredDocument[];
  /** Whether tokens were scored. */
  readonly vocabulary: boolean;
}

const SIZE = { type: "integer", minimum: 1 };
const ID = { type: "integer", minimum: 0 };
const NUMBER = { type: "number" };
const TEXT = { type: "string" };
const SHA256 = { type: "string", pattern: "^[0-9a-f]{64}$" };
const LAYER_TYPES = { enum: ["full_attention", "sliding_attention"] };
const ROPE = objectOf({ theta: NUMBER });

/** What the metadata must hold; how its parts fit together is checked below. */
const headerValidator = validatorOf(
  objectOf({
    fingerprint: TEXT,
    model: objectOf({
      family: TEXT,
      tensors: { type: "object", additionalProperties: { type: "array", items: SIZE, minItems: 1, maxItems: 2 } },
      weights: SHA256,
    }),
    config: objectOf({
      family: TEXT,
      hiddenSize: SIZE,
      numHiddenLayers: SIZE,
      layerSizes: {
        type: "array",
        items: objectOf({ intermediateSize: SIZE, numAttentionHeads: SIZE, numKeyValueHeads: SIZE }),
      },
      headDim: SIZE,
      vocabSize: SIZE,
      maxPositionEmbeddings: SIZE,
      rmsNormEps: NUMBER,
      hiddenActivation: { enum: ["silu", "gelu_pytorch_tanh"] },
      tieWordEmbeddings: { type: "boolean" },
      attentionScale: NUMBER,
      embeddingScale: NUMBER,
      rope: objectOf({ full_attention: ROPE, sliding_attention: ROPE }),
      layerTypes: { type: "array", items: LAYER_TYPES },
      slidingWindow: { ...SIZE, type: ["integer", "null"] },
      bosTokenId: { ...ID, type: ["integer", "null"] },
      eosTokenIds: { type: "array", items: ID },
    }),
    kinds: { type: "array", items: { enum: Object.keys(RELEVANCE_SOURCES) }, minItems: 1, uniqueItems: true },
    mapChange: { enum: ["first-order", "exact"] },
    corpora: {
      type: "object",
      properties: Object.fromEntries(DIMENSIONS.map((dimension) => [dimension, TEXT])),
      additionalProperties: false,
    },
    documents: {
      type: "array",
      items: objectOf({
        source: TEXT,
        tokenCount: SIZE,
        dimensions: { type: "array", items: { enum: [...DIMENSIONS] }, minItems: 1, uniqueItems: true },
      }),
      minItems: 1,
    },
    vocabulary: { type: "boolean" },
  }),
);

/** The header as safetensors metadata, whose values must be strings. */
export function scoresMetadata(header: ScoresHeader): Readonly<Record<string, string>> {
  return { format: `cusprun-scores-${SCORES_FORMAT_VERSION}`, scores: JSON.stringify(header) };
}

/** The scored dimensions, in the fixed order. */
export function dimensionsOf({ corpora }: Pick<ScoresHeader, "corpora">): readonly Dimension[] {
  return DIMENSIONS.filter((dimension) => corpora[dimension] !== undefined);
}

/**
 * Reads the header of a file. The shapes of its tensors are checked where they are planned.
 * @throws CusprunError `SCORES_INVALID`.
 */
export function parseScoresMetadata(path: string, metadata: Readonly<Record<string, string>>): ScoresHeader {
  const expected = `cusprun-scores-${SCORES_FORMAT_VERSION}`;
  const format = Object.hasOwn(metadata, "format") ? metadata["format"] : undefined;
  if (format !== expected) throw scoresInvalid(path, `format ${showValue(format)}`, showValue(expected));
  const where = `${path}: metadata 'scores'`;
  let json: unknown;
  try {
    json = parseJson(metadata["scores"] ?? "");
  } catch (error) {
    throw scoresInvalid(where, `invalid JSON (${(error as Error).message})`, "the description of a scoring run");
  }
  const validate = headerValidator();
  if (!validate(json)) {
    const { instancePath, message = "is valid" } = validate.errors![0]!;
    const place = instancePath.slice(1).replaceAll("/", ".").slice(0, 120);
    const found = showValue(valueAt(json, instancePath));
    throw scoresInvalid(place === "" ? where : `${where}: ${place}`, found, `a value that ${message}`);
  }
  const header = json as ScoresHeader;
  checkHeader(where, header);
  return header;
}

/** How the parts of a header fit together. */
function checkHeader(where: string, header: ScoresHeader): void {
  const { config, model, documents } = header;
  const families = FAMILIES.map(({ name }) => name);
  if (!families.includes(config.family))
    throw scoresInvalid(`${where}: config.family`, showValue(config.family), `a supported family: ${families.join(", ")}`);
  if (model.family !== config.family)
    throw scoresInvalid(`${where}: model.family`, showValue(model.family), `${config.family}, as in the config`);
  try {
    checkModelConfig(config, where);
  } catch (error) {
    if (!(error instanceof CusprunError)) throw error;
    throw scoresInvalid(error.parts.where, error.parts.found, error.parts.expected);
  }
  checkShapes(where, header);
  const scored = new Set(documents.flatMap(({ dimensions }) => dimensions));
  const labelled = dimensionsOf(header);
  for (const dimension of DIMENSIONS) {
    if (scored.has(dimension) === labelled.includes(dimension)) continue;
    const [has, lacks] = scored.has(dimension) ? ["documents", "label"] : ["a label", "document"];
    throw scoresInvalid(`${where}: corpora.${dimension}`, `${has} but no ${lacks}`, "both, or neither");
  }
}

/** The scored model's tensors must have the shapes that its config implies: units are counted by the config. */
function checkShapes(where: string, { config, model }: ScoresHeader): void {
  const family = familyNamed(config.family);
  const expected = new Map<string, readonly number[]>();
  for (const role of ["embedding", "finalNorm", "outputHead"] as const)
    expected.set(modelTensorName(family, role), modelTensorShape(role, config));
  for (let layer = 0; layer < config.numHiddenLayers; layer++)
    for (const role of [...family.requiredRoles, ...family.optionalRoles])
      expected.set(blockTensorName(family, layer, role), blockTensorShape(role, blockSizes(config, layer)));
  for (const [name, shape] of Object.entries(model.tensors)) {
    const implied = expected.get(name)?.join(", ");
    if (implied === shape.join(", ")) continue;
    throw scoresInvalid(
      `${where}: model.tensors: ${name.slice(0, 120)}`,
      `[${shape.join(", ")}]`,
      implied === undefined ? "no such tensor" : `[${implied}], by the config`,
    );
  }
}

/** The value at a JSON pointer (RFC 6901) that the validator reports. */
function valueAt(json: unknown, pointer: string): unknown {
  let value = json;
  for (const part of pointer.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (!(isJsonObject(value) || Array.isArray(value)) || !Object.hasOwn(value, key)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  return value;
}

/** The error for a scores file that cannot be used. */
export function scoresInvalid(where: string, found: string, expected: string): CusprunError {
  return new CusprunError("SCORES_INVALID", {
    where,
    found,
    expected,
    remedy: "Score the model again with this version of cusprun",
  });
}
