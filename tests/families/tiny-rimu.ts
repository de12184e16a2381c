/**
 * @file A tiny model of the made-up family, with random weights.
 */

import { blockTensorShape, modelTensorShape } from "../../src/checkpoint/check-tensors.ts";
import type { BlockRole, ModelRole } from "../../src/families/roles.ts";
import type { ReferenceTensor } from "../support/reference-forward.ts";
import { seededNormal, type TinyModel, tinyModel, type TinyTensor } from "../support/tiny-models.ts";
import { RIMU } from "./rimu.ts";

/** Names of the same tensors in the reference, which is written for transformers' files (OLMo 2's names). */
const REFERENCE_NAMES: Readonly<Record<string, string>> = {
  "attn.wq.weight": "self_attn.q_proj.weight",
  "attn.wk.weight": "self_attn.k_proj.weight",
  "attn.wv.weight": "self_attn.v_proj.weight",
  "attn.wo.weight": "self_attn.o_proj.weight",
  "attn.ln.weight": "post_attention_layernorm.weight",
  "mlp.w1.weight": "mlp.gate_proj.weight",
  "mlp.w3.weight": "mlp.up_proj.weight",
  "mlp.w2.weight": "mlp.down_proj.weight",
  "mlp.ln.weight": "post_feedforward_layernorm.weight",
  "transformer.wte.weight": "model.embed_tokens.weight",
  "transformer.ln_f.weight": "model.norm.weight",
  "head.weight": "lm_head.weight",
};

/** A model of the family with random weights. */
export function tinyRimu(): TinyModel {
  const llama = tinyModel("llama");
  const config = { ...llama.config, family: RIMU.name, rope: { full_attention: ROPE, sliding_attention: ROPE } };
  const { rope_scaling: _, attention_bias: __, mlp_bias: ___, ...json } = llama.configJson;
  const normal = seededNormal(7);
  const tensors = new Map<string, TinyTensor>();
  const add = (name: string, shape: readonly number[]): void => {
    const count = shape.reduce((product, size) => product * size, 1);
    const [mean, deviation] = shape.length === 1 ? [1, 0.2] : [0, 1.5 / Math.sqrt(shape[1]!)];
    tensors.set(name, { shape, values: Float32Array.from({ length: count }, () => mean + deviation * normal()) });
  };
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const sizes = { ...config.layerSizes[layer]!, hiddenSize: config.hiddenSize, headDim: config.headDim };
    for (const [role, name] of Object.entries(RIMU.tensorNames.block) as [BlockRole, string][])
      add(`transformer.h.${layer}.${name}`, blockTensorShape(role, sizes));
  }
  for (const [role, name] of Object.entries(RIMU.tensorNames.model) as [ModelRole, string][])
    add(name, modelTensorShape(role, config));
  return { config, configJson: { ...json, model_type: "rimu", architectures: ["RimuForCausalLM"] }, tensors };
}

const ROPE = { theta: 10_000, scaling: null };

/** The model's tensors under the reference's names. */
export function asReference(tensors: ReadonlyMap<string, ReferenceTensor>): ReadonlyMap<string, ReferenceTensor> {
  return new Map(
    [...tensors].map(([name, tensor]) => {
      const [, layer, own = name] = /^transformer\.h\.(\d+)\.(.*)$/.exec(name) ?? [];
      const theirs = REFERENCE_NAMES[own]!;
      return [layer === undefined ? theirs : `model.layers.${layer}.${theirs}`, tensor];
    }),
  );
}
