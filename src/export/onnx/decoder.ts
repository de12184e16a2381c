/**
 * @file A decoder as one ONNX graph with a key/value cache, in the operators that ONNX Runtime computes on every platform.
 *
 * Inputs:  input_ids [B, T] · attention_mask [B, P + T] (1 real, 0 padding) · num_logits_to_keep [] (0: all)
 *          past_key_values.{i}.key|value [B, G_i, P, K], P tokens seen before
 * Outputs: logits [B, T or num_logits_to_keep, V] · present.{i}.key|value [B, G_i, P + T, K]
 *
 * Positions count the real tokens of the mask, so that padding may stand on either side. All is computed in f32.
 * Layout of names and shapes: transformers.js 4.3, `models/modeling_utils.js`.
 */

import { blockSizes, blockTensorShape, modelTensorShape } from "../../checkpoint/check-tensors.ts";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { BlockRole, ModelRole } from "../../families/roles.ts";
import { blockTensorName, familyNamed, modelTensorName } from "../../families/index.ts";
import type { Family } from "../../families/family.ts";
import type { LayerType, ModelConfig } from "../../checkpoint/config/model-config.ts";
import { OnnxGraph, type Value } from "../../model/onnx-graph.ts";
import { addActivation } from "../../model/activation.ts";
import { inverseFrequencies } from "../../model/rope.ts";
import { presentOptionalRoles } from "../../surgery/expert.ts";
import { QUANT_BLOCK } from "./quantize.ts";
import type { MatrixStorage, OnnxTypeForm } from "./types.ts";
import { matrixWeight, scalesName, vectorWeight, type WeightSource, zeroPointsName } from "./weights.ts";

/** Operators of ONNX 1.16, which ONNX Runtime reads from 1.18 on. */
const VERSION = { opset: 21, ir: 10 };

/** Added to the scores of padding: far under any score, and finite, since rows that see padding alone must not become NaN. */
const HIDDEN_SCORE = -1e30;
/**
 * Activations are rounded to eight bits, block by block, so that products are of integers: one token at a time that is several times as
 * fast as widening the weights, and costs less than the rounding of the weights does.
 */
const INT8_PRODUCTS = 4;
/** End of a slice: the axis' own. */
const AXIS_END = Number.MAX_SAFE_INTEGER;

/** A graph without its weights, and where these come from. */
export interface DecoderGraph {
  /** Takes the weights, by their names, before it is serialised. */
  readonly graph: OnnxGraph;
  readonly sources: readonly WeightSource[];
  /** Values of the weights, a tied output head counted once. */
  readonly parameters: number;
}

/** Builds the graph of a model. Reads no weight. */
export function buildDecoder(checkpoint: Checkpoint, form: OnnxTypeForm): DecoderGraph {
  return new DecoderBuilder(checkpoint, form).build();
}

/** What every layer's attention looks at, made once. */
interface Positions {
  /** i32 [B] and []: all rows have P + T keys; padding is told by the bias. */
  readonly lastKeys: Value;
  readonly keyCount: Value;
  /** [B, 1, T, P + T] */
  readonly bias: Value;
  /** i64 [B, T], rows of the tables below. */
  readonly rotaryRows: Value;
  /** [B·T, K/2] each. */
  readonly rotary: Readonly<Record<LayerType, { readonly cos: Value; readonly sin: Value }>>;
}

class DecoderBuilder {
  readonly #g = new OnnxGraph(VERSION);
  readonly #checkpoint: Checkpoint;
  readonly #config: ModelConfig;
  readonly #family: Family;
  readonly #form: OnnxTypeForm;
  readonly #optionalRoles: readonly BlockRole[];
  readonly #sources: WeightSource[] = [];

  constructor(checkpoint: Checkpoint, form: OnnxTypeForm) {
    this.#checkpoint = checkpoint;
    this.#config = checkpoint.config;
    this.#family = familyNamed(checkpoint.config.family);
    this.#form = form;
    this.#optionalRoles = presentOptionalRoles(checkpoint);
  }

  build(): DecoderGraph {
    const g = this.#g;
    const { hiddenSize: D, vocabSize: V, numHiddenLayers } = this.#config;
    const ids = g.input("input_ids", ["batch_size", "sequence_length"], "i64");
    const mask = g.input("attention_mask", ["batch_size", "total_sequence_length"], "i64");
    const kept = g.input("num_logits_to_keep", [], "i64");
    const batchShape = g.node("Shape", [ids]);
    const positions = this.#positions(ids, mask, batchShape);

    let x = g.reshape(this.#embed(ids), [-1, D]);
    for (let layer = 0; layer < numHiddenLayers; layer++) {
      x = this.#attention(x, layer, positions, batchShape);
      x = this.#ffn(x, layer);
    }

    // −0 is 0: of all rows none is left out.
    const first = g.reshape(g.node("Neg", [kept]), [1]);
    const rows = g.node("Slice", [this.#byDocument(x, batchShape), first, g.integers([AXIS_END]), g.integers([1])]);
    const normed = this.#modelNorm(g.reshape(rows, [-1, D]));
    const logits = this.#head(normed);
    const shape = g.concat([g.node("Shape", [rows], { start: { int: 0 }, end: { int: 2 } }), g.integers([V])], 0);
    g.output("logits", g.node("Reshape", [logits, shape]), ["batch_size", "kept_sequence_length", V]);
    const parameters = this.#sources.reduce((sum, source) => sum + source.parameters, 0);
    return { graph: g, sources: this.#sources, parameters };
  }

  #positions(ids: Value, mask: Value, batchShape: Value): Positions {
    const g = this.#g;
    const [batch, tokens] = g.split(batchShape, 0, 2) as [Value, Value];
    const keys = g.node("Shape", [mask], { start: { int: 1 } });
    const last = g.subtract(keys, g.integers([1]));
    const counted = g.subtract(g.node("CumSum", [mask, g.integer(1)]), g.integers([1]));
    const own = g.node("Slice", [counted, g.node("Neg", [tokens]), g.integers([AXIS_END]), g.integers([1])]);
    const position = g.cast(g.reshape(g.node("Max", [own, g.integers([0])]), [-1, 1]), "f32");
    const rowCount = g.node("Size", [ids]);
    const rows = g.node("Range", [g.integer(0), rowCount, g.integer(1)]);
    const hidden = g.multiply(g.cast(g.subtract(g.integers([1]), mask), "f32"), g.scalar(HIDDEN_SCORE));
    const biasShape = g.concat([batch, g.integers([1]), tokens, keys], 0);
    const full = this.#rotary(position, "full_attention");
    const { rope, layerTypes } = this.#config;
    const differs = rope.full_attention !== rope.sliding_attention && layerTypes.includes("sliding_attention");
    return {
      lastKeys: g.cast(g.node("Expand", [last, batch]), "i32"),
      keyCount: g.cast(g.reshape(keys, []), "i32"),
      bias: g.node("Expand", [g.node("Unsqueeze", [hidden, g.integers([1, 2])]), biasShape]),
      rotaryRows: g.node("Reshape", [rows, batchShape]),
      rotary: { full_attention: full, sliding_attention: differs ? this.#rotary(position, "sliding_attention") : full },
    };
  }

  /** Tables of the tokens at hand, [B·T, K/2]: those of every position would be as large as a small model. */
  #rotary(position: Value, type: LayerType): { cos: Value; sin: Value } {
    const g = this.#g;
    const { rope, headDim } = this.#config;
    const frequencies = g.floats([...inverseFrequencies(rope[type], headDim)], [1, headDim / 2]);
    const angles = g.multiply(position, frequencies);
    return { cos: g.node("Cos", [angles]), sin: g.node("Sin", [angles]) };
  }

  /** [B·T, D] → [B·T, D], the residual stream after the attention. */
  #attention(x: Value, layer: number, positions: Positions, batchShape: Value): Value {
    const g = this.#g;
    const { headDim: K, attentionScale, layerTypes, slidingWindow, layerSizes } = this.#config;
    const { numAttentionHeads: H, numKeyValueHeads: G } = layerSizes[layer]!;
    const type = layerTypes[layer]!;
    const normed = this.#norm(x, layer, "attentionNorm");
    const rotated = (role: "q" | "k", heads: number): Value => {
      const projected = this.#headNorm(this.#linear(normed, layer, role), layer, role, heads);
      const { cos, sin } = positions.rotary[type];
      return g.node("RotaryEmbedding", [this.#byDocument(projected, batchShape), positions.rotaryRows, cos, sin]);
    };
    const past = (part: "key" | "value"): Value =>
      g.input(`past_key_values.${layer}.${part}`, ["batch_size", G, "past_sequence_length", K]);
    const [output, keys, values] = g.nodes(
      "GroupQueryAttention",
      [
        rotated("q", H),
        rotated("k", G),
        this.#byDocument(this.#linear(normed, layer, "v"), batchShape),
        past("key"),
        past("value"),
        positions.lastKeys,
        positions.keyCount,
        null,
        null,
        null,
        positions.bias,
      ],
      3,
      {
        num_heads: { int: H },
        kv_num_heads: { int: G },
        scale: { float: attentionScale },
        ...(type === "sliding_attention" && slidingWindow !== null ? { local_window_size: { int: slidingWindow } } : {}),
      },
    ) as [Value, Value, Value];
    const cacheShape = ["batch_size", G, "total_sequence_length", K];
    g.output(`present.${layer}.key`, keys, cacheShape);
    g.output(`present.${layer}.value`, values, cacheShape);
    const projected = this.#linear(g.reshape(output, [-1, H * K]), layer, "o");
    return g.add(x, this.#postNorm(projected, layer, "postAttentionNorm"));
  }

  /** [B·T, D] → [B·T, D], the residual stream after the FFN. */
  #ffn(x: Value, layer: number): Value {
    const g = this.#g;
    const normed = this.#norm(x, layer, "ffnNorm");
    const gate = addActivation(g, this.#linear(normed, layer, "gate"), this.#config.hiddenActivation);
    const output = this.#linear(g.multiply(gate, this.#linear(normed, layer, "up")), layer, "down");
    return g.add(x, this.#postNorm(output, layer, "postFfnNorm"));
  }

  /** [rows, in] → [rows, out], with the role's bias where there is one. */
  #linear(x: Value, layer: number, role: "q" | "k" | "v" | "o" | "gate" | "up" | "down"): Value {
    const name = this.#source(layer, role, (full, shape) => matrixWeight(this.#checkpoint, full, shape, this.#form.blocks));
    const biasRole = BIAS_ROLES[role];
    const hasBias = biasRole !== undefined && this.#has(biasRole);
    const bias = hasBias ? this.#vector(layer, biasRole) : undefined;
    return this.#product(x, name, this.#shapeOf(layer, role), this.#form.blocks, bias);
  }

  /** x · Wᵀ + bias of a weight that is declared already. */
  #product(x: Value, weight: Value, shape: readonly number[], storage: MatrixStorage, bias?: Value): Value {
    const g = this.#g;
    const [N = 0, K = 0] = shape;
    if (storage === "f32") return g.linear(x, weight, bias);
    if (storage === "f16") return g.linear(x, g.cast(weight, "f32"), bias);
    const zeroPoints = storage === "q4" ? [zeroPointsName(weight) as Value] : [];
    const product = g.node("MatMulNBits", [x, weight, this.#scales(weight), ...zeroPoints], {
      K: { int: K },
      N: { int: N },
      bits: { int: storage === "q8" ? 8 : 4 },
      block_size: { int: QUANT_BLOCK },
      accuracy_level: { int: INT8_PRODUCTS },
    });
    return bias === undefined ? product : g.add(product, bias);
  }

  /** i64 [B, T] → [B, T, D]. */
  #embed(ids: Value): Value {
    const g = this.#g;
    const { hiddenSize: D, vocabSize: V, embeddingScale } = this.#config;
    const weight = this.#modelMatrix("embedding");
    const storage = this.#form.vocabulary;
    let rows: Value;
    if (storage === "f32") rows = g.node("Gather", [weight, ids]);
    else if (storage === "f16") rows = g.cast(g.node("Gather", [weight, ids]), "f32");
    else {
      const flat = g.reshape(weight, [V, -1]);
      rows = g.node("GatherBlockQuantized", [flat, ids, this.#scales(weight)], {
        bits: { int: 8 },
        block_size: { int: QUANT_BLOCK },
        gather_axis: { int: 0 },
        quantize_axis: { int: 1 },
      });
      if (D % QUANT_BLOCK !== 0) rows = g.node("Slice", [rows, g.integers([0]), g.integers([D]), g.integers([2])]);
    }
    return embeddingScale === 1 ? rows : g.multiply(rows, g.scalar(embeddingScale));
  }

  /** [rows, D] → [rows, V]. A tied head is the embedding's own weight. */
  #head(x: Value): Value {
    const { tieWordEmbeddings } = this.#config;
    const weight = tieWordEmbeddings ? (modelTensorName(this.#family, "embedding") as Value) : this.#modelMatrix("outputHead");
    return this.#product(x, weight, modelTensorShape("outputHead", this.#config), this.#form.vocabulary);
  }

  /** Scales are stored in half the bytes; the runtime widens them once, when it loads the model. */
  #scales(weight: Value): Value {
    return this.#g.cast(scalesName(weight) as Value, "f32");
  }

  #modelMatrix(role: ModelRole): Value {
    const name = modelTensorName(this.#family, role);
    this.#sources.push(matrixWeight(this.#checkpoint, name, modelTensorShape(role, this.#config), this.#form.vocabulary));
    return name as Value;
  }

  #modelNorm(x: Value): Value {
    const name = modelTensorName(this.#family, "finalNorm");
    this.#sources.push(vectorWeight(this.#checkpoint, name, this.#config.hiddenSize, this.#normOffset));
    return this.#rmsNorm(x, name as Value);
  }

  #norm(x: Value, layer: number, role: BlockRole): Value {
    return this.#rmsNorm(x, this.#vector(layer, role, this.#normOffset));
  }

  #postNorm(x: Value, layer: number, role: BlockRole): Value {
    return this.#has(role) ? this.#norm(x, layer, role) : x;
  }

  /** Over each head by itself, [rows, heads · K]. */
  #headNorm(x: Value, layer: number, role: "q" | "k", heads: number): Value {
    if (!this.#has(`${role}Norm`)) return x;
    const { headDim } = this.#config;
    const normed = this.#norm(this.#g.reshape(x, [-1, heads, headDim]), layer, `${role}Norm`);
    return this.#g.reshape(normed, [-1, heads * headDim]);
  }

  #rmsNorm(x: Value, weight: Value): Value {
    const epsilon = { float: this.#config.rmsNormEps };
    return this.#g.node("SimplifiedLayerNormalization", [x, weight], { axis: { int: -1 }, epsilon, stash_type: { int: 1 } });
  }

  #vector(layer: number, role: BlockRole, offset = 0): Value {
    return this.#source(layer, role, (name, shape) => vectorWeight(this.#checkpoint, name, shape[0]!, offset));
  }

  #source(layer: number, role: BlockRole, make: (name: string, shape: readonly number[]) => WeightSource): Value {
    const name = blockTensorName(this.#family, layer, role);
    this.#sources.push(make(name, this.#shapeOf(layer, role)));
    return name as Value;
  }

  #shapeOf(layer: number, role: BlockRole): readonly number[] {
    return blockTensorShape(role, blockSizes(this.#config, layer));
  }

  #has(role: BlockRole): boolean {
    return this.#family.requiredRoles.includes(role) || this.#optionalRoles.includes(role);
  }

  get #normOffset(): number {
    return this.#family.normOffset;
  }

  /** [B·T, n] → [B, T, n]. */
  #byDocument(x: Value, batchShape: Value): Value {
    return this.#g.node("Reshape", [x, this.#g.concat([batchShape, this.#g.integers([-1])], 0)]);
  }
}

const BIAS_ROLES: Readonly<Partial<Record<BlockRole, BlockRole>>> = { q: "qBias", k: "kBias", v: "vBias", o: "oBias" };
