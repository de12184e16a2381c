/**
 * @file Chooses the llama.cpp architecture that a model is written as, and refuses models that none can compute.
 * Everything is checked before any work, because llama.cpp ignores what it does not know and computes something else.
 * Source: llama.cpp, `llama_model::load_hparams` and `load_tensors`; `convert_hf_to_gguf.py`.
 */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { BlockRole } from "../../families/roles.ts";
import { familyNamed, normsQueries } from "../../families/index.ts";
import type { LlamaCppArchitecture } from "../../families/llama-cpp.ts";
import { uniformLayerSizes } from "../../checkpoint/config/model-config.ts";
import type { ModelConfig, RopeConfig } from "../../checkpoint/config/model-config.ts";
import { CusprunError } from "../../errors.ts";
import { inverseFrequencies } from "../../model/rope.ts";
import { presentOptionalRoles } from "../../checkpoint/optional-roles.ts";

/** How a model is written to a GGUF file. */
export interface GgufForm {
  readonly architecture: string;
  readonly interleavesRotary: boolean;
  /** q, k and v are one tensor, and therefore have one type. */
  readonly fusesQkv: boolean;
  /** Factors of `rope_freqs.weight`, [K/2], or null. */
  readonly ropeFactors: readonly number[] | null;
  /** Longest context for which llama.cpp computes what the model computes. */
  readonly contextLength: number;
  /**
   * Every n-th layer has full attention; null if no layer slides, or if all do and the context is within the window.
   */
  readonly slidingPeriod: number | null;
  /** Factor on the query norm that turns llama.cpp's scale of the attention into the model's. */
  readonly queryScale: number;
  /** The optional block tensors that the model has. */
  readonly optionalRoles: readonly BlockRole[];
}

/**
 * How a model can be written so that llama.cpp computes it.
 * @param willDiffer whether the model's layers will differ in size although the config's do not yet.
 * @throws CusprunError `EXPORT_UNSUPPORTED` if there is no such way.
 */
export function ggufFormOf(checkpoint: Checkpoint, willDiffer = false): GgufForm {
  const { config, path } = checkpoint;
  const optionalRoles = presentOptionalRoles(checkpoint);
  const layersDiffer = willDiffer || uniformLayerSizes(config) === null;
  const candidates = familyNamed(config.family).ggufArchitectures;
  const refusals = candidates.map((candidate) => refusal(candidate, config, layersDiffer, optionalRoles));
  const chosen = candidates.find((_, index) => refusals[index] === null);
  if (chosen === undefined) {
    throw new CusprunError("EXPORT_UNSUPPORTED", {
      where: path,
      found: refusals.at(-1) ?? "a model of an unknown form",
      expected: `a ${config.family} model as llama.cpp computes it`,
      remedy: layersDiffer
        ? "Select again with --layout uniform or --layout masked, which leaves zeros, or keep the Hugging Face folder"
        : "Keep the Hugging Face folder for this model, which transformers loads",
    });
  }
  const window = chosen.sliding !== null ? null : config.slidingWindow;
  return {
    architecture: chosen.name,
    interleavesRotary: chosen.interleavesRotary,
    fusesQkv: chosen.fusesQkv,
    ropeFactors: ropeFactors(config.rope.full_attention, config.headDim),
    // Without sliding layers, attention is the same up to the window and different beyond it.
    contextLength: Math.min(config.maxPositionEmbeddings, window ?? Infinity),
    slidingPeriod: chosen.sliding !== null && config.slidingWindow !== null ? slidingPeriod(config, chosen.sliding) : null,
    queryScale: config.attentionScale / runtimeScale(config, chosen),
    optionalRoles,
  };
}

/** The reason why an architecture cannot compute a model; null if it can. */
function refusal(
  architecture: LlamaCppArchitecture,
  config: ModelConfig,
  layersDiffer: boolean,
  optionalRoles: readonly BlockRole[],
): string | null {
  const { hiddenSize, layerSizes, headDim, hiddenActivation, family, rope, slidingWindow } = config;
  const { defaultActivation } = familyNamed(family).configRules;
  if (hiddenActivation !== defaultActivation) return `the activation ${hiddenActivation} instead of ${defaultActivation}`;
  // llama.cpp loads a layer without an FFN but computes it wrongly, and aborts if the query heads do not divide evenly
  // among the KV groups.
  const layer = layerSizes.findIndex(
    ({ intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G }) => F < 1 || H < 1 || G < 1 || H % G !== 0,
  );
  if (layer !== -1) {
    const { intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G } = layerSizes[layer]!;
    return `layer ${layer} with ${F} FFN units, ${H} query and ${G} key-value heads`;
  }
  if (layersDiffer && !architecture.ragged) return "layers of different sizes";
  if (architecture.tiesHead && !config.tieWordEmbeddings)
    return "layers of different sizes with an output head that is not the embedding";
  const heads = layerSizes[0]!.numAttentionHeads;
  if (!architecture.freeHeadSize && heads * headDim !== hiddenSize) {
    return `${heads} heads of ${headDim} with a hidden size of ${hiddenSize}`;
  }
  const scaling = rope.full_attention.scaling?.type ?? null;
  if (!architecture.ropeFactors && (scaling === "llama3" || scaling === "factors"))
    return `${scaling} scaling of rotary positions`;
  const unknownRole = optionalRoles.find((role) => !architecture.optionalRoles.includes(role));
  if (unknownRole !== undefined) return `attention biases (${familyNamed(family).tensorNames.block[unknownRole]})`;
  if (architecture.sliding !== null && slidingWindow !== null) {
    if (rope.sliding_attention.scaling !== null) return "scaling of the rotary positions of sliding layers";
    if (slidingPeriod(config, architecture.sliding) === null) return "sliding layers that follow no period";
  }
  // A query norm can absorb the difference.
  if (!normsQueries(family) && config.attentionScale !== runtimeScale(config, architecture))
    return `queries scaled by ${config.attentionScale}`;
  return null;
}

/** Period p such that every p-th layer, and no other, has full attention; null if there is none. */
function slidingPeriod({ layerTypes }: ModelConfig, { defaultPeriod }: { readonly defaultPeriod: number }): number | null {
  const firstFull = layerTypes.indexOf("full_attention");
  const period = firstFull === -1 ? Math.max(defaultPeriod, layerTypes.length + 1) : firstFull + 1;
  const follows = layerTypes.every((type, layer) => (type === "full_attention") === ((layer + 1) % period === 0));
  return follows ? period : null;
}

/** The factor by which llama.cpp multiplies q·k. */
function runtimeScale(
  { numHiddenLayers, layerSizes, hiddenSize, headDim }: ModelConfig,
  { hiddenScaleLayers }: LlamaCppArchitecture,
): number {
  const isByHidden = numHiddenLayers === hiddenScaleLayers;
  return 1 / Math.sqrt(isByHidden ? hiddenSize / layerSizes[0]!.numAttentionHeads : headDim);
}

/** Divisors of the inverse frequencies, [K/2]; null if the keys of the header are enough. */
function ropeFactors(rope: RopeConfig, headDim: number): readonly number[] | null {
  const { scaling } = rope;
  if (scaling === null || scaling.type === "linear") return null;
  if (scaling.type === "factors") return scaling.factors;
  const scaled = inverseFrequencies(rope, headDim);
  return Array.from(inverseFrequencies({ ...rope, scaling: null }, headDim), (base, pair) => base / scaled[pair]!);
}
