/**
 * @file The weights of an exported decoder: each is declared when the graph first uses it, together with the operators
 * that read it in the form in which it is stored.
 */

import { blockTensorShape, modelTensorShape } from "../../checkpoint/check-tensors.ts";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../../checkpoint/config/model-config.ts";
import type { BlockRole, ModelRole } from "../../families/roles.ts";
import { blockTensorName, familyNamed, modelTensorName } from "../../families/index.ts";
import type { Family } from "../../families/family.ts";
import { type BlockShape, blockShapeOf } from "../../model/block-shape.ts";
import { biasOf, type BlockBuilder } from "../../model/decoder-block.ts";
import type { OnnxGraph, Value } from "../../model/onnx-graph.ts";
import { QUANT_BLOCK } from "./quantize.ts";
import type { MatrixStorage, OnnxTypeForm } from "./types.ts";
import { matrixWeight, scalesName, vectorWeight, type WeightSource, zeroPointsName } from "./weights.ts";

/**
 * Activations are rounded to eight bits, block by block, so that products are of integers. For one token at a time that
 * is several times as fast as widening the weights, and costs less accuracy than the rounding of the weights does.
 */
const INT8_PRODUCTS = 4;

/** The weights of one model in one graph. */
export class DecoderWeights {
  /** The weights that have been declared, in order. */
  readonly sources: WeightSource[] = [];
  readonly #g: OnnxGraph;
  readonly #checkpoint: Checkpoint;
  readonly #config: ModelConfig;
  readonly #family: Family;
  readonly #form: OnnxTypeForm;

  constructor(graph: OnnxGraph, checkpoint: Checkpoint, form: OnnxTypeForm) {
    this.#g = graph;
    this.#checkpoint = checkpoint;
    this.#config = checkpoint.config;
    this.#family = familyNamed(checkpoint.config.family);
    this.#form = form;
  }

  /** The weights of a layer. @param batchShape the sizes B and T. */
  block(layer: number, batchShape: Value): BlockBuilder {
    const shape = blockShapeOf(this.#checkpoint, layer);
    return {
      graph: this.#g,
      shape,
      batchShape,
      linear: (x, role) => {
        const storage = this.#form.blocks;
        const size = blockTensorShape(role, shape);
        const name = this.#tensorName(layer, role);
        const weight = this.#declare(name, matrixWeight(this.#checkpoint, name, size, storage));
        const bias = biasOf(shape, role);
        return this.#product(x, weight, size, storage, bias === null ? undefined : this.#vector(layer, shape, bias));
      },
      norm: (x, role) => this.#rmsNorm(x, this.#vector(layer, shape, role, this.#family.normOffset)),
    };
  }

  /** i64 [B, T] → [B, T, D]. */
  embed(ids: Value): Value {
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

  /** [rows, D] → [rows, D]. */
  finalNorm(x: Value): Value {
    const name = modelTensorName(this.#family, "finalNorm");
    const source = vectorWeight(this.#checkpoint, name, this.#config.hiddenSize, this.#family.normOffset);
    return this.#rmsNorm(x, this.#declare(name, source));
  }

  /** [rows, D] → [rows, V]. A tied head is the embedding's own weight. */
  head(x: Value): Value {
    const { tieWordEmbeddings } = this.#config;
    const weight = tieWordEmbeddings ? (modelTensorName(this.#family, "embedding") as Value) : this.#modelMatrix("outputHead");
    return this.#product(x, weight, modelTensorShape("outputHead", this.#config), this.#form.vocabulary);
  }

  /** x · Wᵀ + bias: [rows, in] → [rows, out]. @param shape [out, in]. */
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

  #rmsNorm(x: Value, weight: Value): Value {
    const epsilon = { float: this.#config.rmsNormEps };
    return this.#g.node("SimplifiedLayerNormalization", [x, weight], { axis: { int: -1 }, epsilon, stash_type: { int: 1 } });
  }

  /** Scales are stored in half the bytes; the runtime widens them once, when it loads the model. */
  #scales(weight: Value): Value {
    return this.#g.cast(scalesName(weight) as Value, "f32");
  }

  #vector(layer: number, shape: BlockShape, role: BlockRole, offset = 0): Value {
    const name = this.#tensorName(layer, role);
    return this.#declare(name, vectorWeight(this.#checkpoint, name, blockTensorShape(role, shape)[0]!, offset));
  }

  #modelMatrix(role: ModelRole): Value {
    const name = modelTensorName(this.#family, role);
    return this.#declare(name, matrixWeight(this.#checkpoint, name, modelTensorShape(role, this.#config), this.#form.vocabulary));
  }

  #declare(name: string, source: WeightSource): Value {
    this.sources.push(source);
    return name as Value;
  }

  #tensorName(layer: number, role: BlockRole): string {
    return blockTensorName(this.#family, layer, role);
  }
}
