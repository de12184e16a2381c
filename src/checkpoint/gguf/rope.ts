/**
 * @file RoPE scaling of a GGUF file, for ModelConfig and for config.json.
 * Source: `Llama3Model` in llama.cpp's `convert_hf_to_gguf.py` (formula of `rope_freqs.weight`);
 * `llama_model::load_hparams`.
 */

import type { GgufFields } from "./fields.ts";
import { shortestDecimal } from "./fields.ts";
import type { RopeScaling } from "../config/model-config.ts";

/** `rope_scaling` of a config.json. */
export type RopeScalingJson = Readonly<Record<string, unknown>>;

/**
 * `rope_type` of a config.json whose factors follow no published formula. No runtime knows it, so none loads such a
 * model and computes it wrongly; exports refuse it.
 */
export const UNNAMED_FACTORS_ROPE_TYPE = "gguf_factors";

/** The parameters that all published Llama 3.1 to 3.3 models share; their factor is 8, or 32 in the small models. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 } as const;

/** Relative error of factors that were computed in f32 with a power and a quotient. */
const FACTOR_TOLERANCE = 1e-4;

/**
 * `rope_scaling` of a config.json from the file's keys: null or linear.
 * @param prefix the architecture's name.
 * @throws CusprunError `GGUF_UNSUPPORTED` for YaRN and others, `GGUF_KEY_INVALID`.
 */
export function ropeScalingFromKeys(fields: GgufFields, prefix: string): RopeScalingJson | null {
  const typeKey = `${prefix}.rope.scaling.type`;
  const type = fields.optionalString(typeKey) ?? "linear";
  if (type === "none") return null;
  if (type !== "linear") throw fields.unsupported(typeKey, "none or linear");
  const factor =
    fields.optionalNumber(`${prefix}.rope.scaling.factor`) ?? fields.optionalNumber(`${prefix}.rope.scale_linear`) ?? 1;
  return factor === 1 || factor === 0 ? null : { rope_type: "linear", factor };
}

/**
 * `rope_scaling` of a config.json from the factors of `rope_freqs.weight`: llama3's parameters if the factors follow
 * its formula, otherwise the factors under a type that no runtime loads (`UNNAMED_FACTORS_ROPE_TYPE`).
 */
export function ropeScalingFromFactors(factors: readonly number[], theta: number): RopeScalingJson {
  const scaling: RopeScalingJson & Llama3 = { rope_type: "llama3", factor: shortestDecimal(Math.max(...factors)), ...LLAMA3 };
  const expected = llama3Factors(scaling, theta, factors.length);
  const follows = factors.every((factor, i) => Math.abs(factor / expected[i]! - 1) <= FACTOR_TOLERANCE);
  return follows ? scaling : { rope_type: UNNAMED_FACTORS_ROPE_TYPE, factors };
}

/** Factors in ModelConfig's form. */
export function factorsScaling(factors: readonly number[]): RopeScaling {
  return { type: "factors", factors };
}

interface Llama3 {
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
}

/**
 * Divisors of the inverse frequencies theta^(−i/count): the factor for long wavelengths, 1 for short ones, a smooth
 * transition in between.
 */
function llama3Factors(scaling: Llama3, theta: number, count: number): number[] {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = scaling;
  return Array.from({ length: count }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** (i / count);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
