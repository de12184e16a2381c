/**
 * @file How llama.cpp computes each family: the architecture that a model is written as, and what it cannot say. Everything here is
 * checked before any work, because llama.cpp ignores what it does not know and computes something else.
 * Source: llama.cpp, `llama_model::load_hparams` and `load_tensors`; `convert_hf_to_gguf.py`.
 */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { type BlockRole, FAMILIES, type FamilyName } from "../../families/families.ts";
import { uniformLayerSizes } from "../../checkpoint/config/model-config.ts";
import type { ModelConfig, RopeConfig } from "../../checkpoint/config/model-config.ts";
import { CusprunError } from "../../errors.ts";
import { inverseFrequencies } from "../../model/rope.ts";
import { presentOptionalRoles } from "../../surgery/expert.ts";

/** An architecture of llama.cpp, as far as the families differ in it. */
interface Architecture {
  /** `general.architecture`, and the prefix of its keys. */
  readonly name: string;
  /** Rows of q and k are stored with each head's rotary halves interleaved. */
  readonly interleavesRotary: boolean;
  /** Takes a head size that is not hidden size / heads. */
  readonly freeHeadSize: boolean;
  /** Computes layers of unlike size; the others take layer 0's sizes for all. */
  readonly ragged: boolean;
  /** Reads `rope_freqs.weight`. */
  readonly ropeFactors: boolean;
  /** Computes sliding layers with a window and a rotation of their own. */
  readonly slides: boolean;
  /** Has q, k and v in one tensor. */
  readonly fusesQkv: boolean;
  /** Multiplies with the token embedding at the end, whatever output head there is. */
  readonly tiesHead: boolean;
  /** Block tensors that may be there or not. */
  readonly optionalRoles: readonly BlockRole[];
}

const LLAMA: Architecture = {
  name: "llama",
  interleavesRotary: true,
  freeHeadSize: true,
  ragged: false,
  ropeFactors: true,
  slides: false,
  fusesQkv: false,
  tiesHead: false,
  optionalRoles: ["qBias", "kBias", "vBias", "oBias"],
};
/** A Llama whose layers may differ in size. */
const DECI: Architecture = { ...LLAMA, name: "deci", ragged: true };
const PLAIN: Omit<Architecture, "name"> = {
  interleavesRotary: false,
  freeHeadSize: true,
  ragged: false,
  ropeFactors: false,
  slides: false,
  fusesQkv: false,
  tiesHead: false,
  optionalRoles: [],
};
/** A Qwen3 whose layers may differ in size. */
const OPENELM: Architecture = { ...PLAIN, name: "openelm", ragged: true, fusesQkv: true, tiesHead: true };

/** The architectures that a family can be written as, the first that fits is taken. Qwen2 is a Llama with biases. */
const ARCHITECTURES: Readonly<Record<FamilyName, readonly Architecture[]>> = {
  llama: [LLAMA, DECI],
  mistral: [LLAMA, DECI],
  qwen2: [{ ...PLAIN, name: "qwen2", freeHeadSize: false }, LLAMA, DECI],
  qwen3: [{ ...PLAIN, name: "qwen3" }, OPENELM],
  gemma3: [{ ...PLAIN, name: "gemma3", slides: true }],
};

/** Layers by which llama.cpp tells Gemma 3 27B, whose queries it scales by 1/√(D/H) instead of 1/√K. */
const LAYERS_WITH_HIDDEN_SCALE = 62;
/** llama.cpp's period of sliding layers where a file has none. */
const DEFAULT_SLIDING_PERIOD = 6;

/** How a model is written. */
export interface GgufForm {
  readonly architecture: string;
  readonly interleavesRotary: boolean;
  /** q, k and v are one tensor, and so have one type. */
  readonly fusesQkv: boolean;
  /** Factors of `rope_freqs.weight`, [K/2], or null. */
  readonly ropeFactors: readonly number[] | null;
  /** Context within which llama.cpp computes what the model computes. */
  readonly contextLength: number;
  /** Every n-th layer sees everything; null where no layer slides, or all do and the context is within the window. */
  readonly slidingPeriod: number | null;
  /** What the query norm is multiplied by, so that llama.cpp's own scale of the attention becomes the model's. */
  readonly queryScale: number;
  /** The optional block tensors that the model has. */
  readonly optionalRoles: readonly BlockRole[];
}

/**
 * How llama.cpp can be made to compute a model.
 * @param willDiffer whether the model's layers will differ in size although the config's do not yet.
 * @throws CusprunError `EXPORT_UNSUPPORTED` where it cannot.
 */
export function ggufFormOf(checkpoint: Checkpoint, willDiffer = false): GgufForm {
  const { config, path } = checkpoint;
  const optionalRoles = presentOptionalRoles(checkpoint);
  const layersDiffer = willDiffer || uniformLayerSizes(config) === null;
  const candidates = ARCHITECTURES[config.family];
  const refusals = candidates.map((candidate) => refusal(candidate, config, layersDiffer, optionalRoles));
  const chosen = candidates.find((_, index) => refusals[index] === null);
  if (chosen === undefined) {
    throw new CusprunError("EXPORT_UNSUPPORTED", {
      where: path,
      found: refusals.at(-1) ?? "a model of an unknown form",
      expected: `a ${config.family} model as llama.cpp computes it`,
      remedy: layersDiffer
        ? "Select again with --layout uniform, or with --layout masked, which leaves zeros; or keep the Hugging Face folder"
        : "Keep the Hugging Face folder for this model, which transformers loads",
    });
  }
  const window = chosen.slides ? null : config.slidingWindow;
  return {
    architecture: chosen.name,
    interleavesRotary: chosen.interleavesRotary,
    fusesQkv: chosen.fusesQkv,
    ropeFactors: ropeFactors(config.rope.full_attention, config.headDim),
    // Without sliding layers, attention is the same up to the window and another one beyond.
    contextLength: Math.min(config.maxPositionEmbeddings, window ?? Infinity),
    slidingPeriod: chosen.slides && config.slidingWindow !== null ? slidingPeriod(config) : null,
    queryScale: config.attentionScale / runtimeScale(config),
    optionalRoles,
  };
}

/** Why an architecture cannot compute a model, or null. */
function refusal(
  architecture: Architecture,
  config: ModelConfig,
  layersDiffer: boolean,
  optionalRoles: readonly BlockRole[],
): string | null {
  const { hiddenSize, layerSizes, headDim, hiddenActivation, family, rope, slidingWindow } = config;
  const { defaultActivation } = FAMILIES[family].configRules;
  if (hiddenActivation !== defaultActivation) return `the activation ${hiddenActivation} in place of ${defaultActivation}`;
  // llama.cpp loads a layer of heads without FFN and computes it wrongly, and ends at heads that do not share evenly.
  const layer = layerSizes.findIndex(
    ({ intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G }) => F < 1 || H < 1 || G < 1 || H % G !== 0,
  );
  if (layer !== -1) {
    const { intermediateSize, numAttentionHeads, numKeyValueHeads } = layerSizes[layer]!;
    return `layer ${layer} with ${intermediateSize} FFN units, ${numAttentionHeads} query and ${numKeyValueHeads} key-value heads`;
  }
  if (layersDiffer && !architecture.ragged) return "layers of unlike size";
  if (architecture.tiesHead && !config.tieWordEmbeddings)
    return "layers of unlike size beside an output head that is not the embedding";
  const heads = layerSizes[0]!.numAttentionHeads;
  if (!architecture.freeHeadSize && heads * headDim !== hiddenSize) {
    return `${heads} heads of ${headDim} beside a hidden size of ${hiddenSize}`;
  }
  const scaling = rope.full_attention.scaling?.type ?? null;
  if (!architecture.ropeFactors && (scaling === "llama3" || scaling === "factors"))
    return `${scaling} scaling of rotary positions`;
  const unknownRole = optionalRoles.find((role) => !architecture.optionalRoles.includes(role));
  if (unknownRole !== undefined) return `attention biases (${FAMILIES[family].blockTensorNames[unknownRole]})`;
  if (architecture.slides && slidingWindow !== null) {
    if (rope.sliding_attention.scaling !== null) return "scaling of the rotary positions of sliding layers";
    if (slidingPeriod(config) === null) return "sliding layers that follow no period";
  }
  const canFold = FAMILIES[family].requiredRoles.includes("qNorm");
  if (!canFold && config.attentionScale !== runtimeScale(config)) return `queries scaled by ${config.attentionScale}`;
  return null;
}

/** Period p with which every p-th layer, and no other, sees everything; null where there is none. */
function slidingPeriod({ layerTypes }: ModelConfig): number | null {
  const firstFull = layerTypes.indexOf("full_attention");
  const period = firstFull === -1 ? Math.max(DEFAULT_SLIDING_PERIOD, layerTypes.length + 1) : firstFull + 1;
  const follows = layerTypes.every((type, layer) => (type === "full_attention") === ((layer + 1) % period === 0));
  return follows ? period : null;
}

/** What llama.cpp multiplies q·k by. */
function runtimeScale({ numHiddenLayers, layerSizes, hiddenSize, headDim, family }: ModelConfig): number {
  const hasQueryScalar = FAMILIES[family].configRules.defaultQueryPreAttnScalar !== null;
  const byHidden = hasQueryScalar && numHiddenLayers === LAYERS_WITH_HIDDEN_SCALE;
  return 1 / Math.sqrt(byHidden ? hiddenSize / layerSizes[0]!.numAttentionHeads : headDim);
}

/** What inverse frequencies are divided by; null where keys of the header say it all. */
function ropeFactors(rope: RopeConfig, headDim: number): readonly number[] | null {
  const { scaling } = rope;
  if (scaling === null || scaling.type === "linear") return null;
  if (scaling.type === "factors") return scaling.factors;
  const scaled = inverseFrequencies(rope, headDim);
  return Array.from(inverseFrequencies({ ...rope, scaling: null }, headDim), (base, pair) => base / scaled[pair]!);
}
