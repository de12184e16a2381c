/**
 * @file One decoder block as an ONNX graph whose weights are inputs: hidden states in, hidden states out, and beside them what the
 * relevances are made of, so that one session serves all layers of a shape.
 *
 * Inputs:  x [B, T, D] · tokenMask [B, T] (1 real, 0 padding) · cos, sin [T, K/2] · the weights by role
 * Outputs: y [B, T, D] · and, where asked for, the energies of `ENERGY_OUTPUTS`, summed over a document's real tokens, the residual
 *          stream after the attention, the sums of squares of what matrices multiply, or the normal equations of an output matrix
 *
 * Padding stands on the right, where causal attention never looks at it; it is masked out of every energy.
 * Formulas: architecture, "Relevance, exactly". Paper: PLND, arXiv 2402.18815, section 3 and appendix.
 */

import { blockTensorShape } from "../checkpoint/check-tensors.ts";
import type { BlockRole } from "../families/roles.ts";
import type { Device } from "../device.ts";
import { addActivation } from "./activation.ts";
import {
  addBlockInfluence,
  addFfnEnergies,
  addHeadEnergies,
  addMapEnergies,
  addResidualEnergy,
  groupMaps,
  needsMaps,
  toHeads,
} from "./block-energies.ts";
import type { BlockContext, BlockRequest, Halves, RotatedHeads } from "./block-energies.ts";
import { addFit, POST_NORMS } from "./block-fit.ts";
import { addInputSquares, type MatrixInput } from "./block-inputs.ts";
import type { BlockShape } from "./block-shape.ts";
import { OnnxGraph } from "./onnx-graph.ts";
import type { Value } from "./onnx-graph.ts";

/** Head sizes that ONNX Runtime's fused attention takes are multiples of this. */
const FUSED_HEAD_MULTIPLE = 8;

/**
 * Builds the graph of a block.
 * @param device The fused attention is used on the CPU alone: WebGPU's was off by 17% in ONNX Runtime 1.30.
 */
export function buildBlockGraph(shape: BlockShape, request: BlockRequest, device: Device = "cpu"): Uint8Array<ArrayBuffer> {
  return new BlockGraph(shape, request, device).build();
}

class BlockGraph {
  readonly #g = new OnnxGraph();
  readonly #shape: BlockShape;
  readonly #request: BlockRequest;
  readonly #context: BlockContext;
  readonly #weights: ReadonlyMap<BlockRole, Value>;
  readonly #x: Value;
  readonly #fuses: boolean;

  constructor(shape: BlockShape, request: BlockRequest, device: Device) {
    const g = this.#g;
    this.#fuses = device === "cpu" && shape.headDim % FUSED_HEAD_MULTIPLE === 0;
    this.#shape = shape;
    this.#request = request;
    this.#x = g.input("x", ["B", "T", shape.hiddenSize]);
    this.#weights = new Map(shape.roles.map((role) => [role, g.input(role, blockTensorShape(role, shape))]));
    this.#context = {
      graph: g,
      shape,
      energies: new Set(request.energies),
      mapChange: request.mapChange ?? "first-order",
      tokenMask: g.input("tokenMask", ["B", "T"]),
      cos: g.input("cos", ["T", shape.headDim / 2]),
      sin: g.input("sin", ["T", shape.headDim / 2]),
      batchShape: g.node("Shape", [this.#x], { start: { int: 0 }, end: { int: 2 } }),
    };
  }

  build(): Uint8Array<ArrayBuffer> {
    const { fit, attentionStream, from } = this.#request;
    const shape = ["B", "T", this.#shape.hiddenSize];
    const afterAttention = from === "attentionStream" ? this.#x : this.#attention(this.#x);
    if (attentionStream !== undefined) this.#g.output("attentionStream", afterAttention, shape);
    // A fit runs before its matrix is known: it has no hidden states to put out, and computes nothing behind the fit.
    if (fit === undefined && attentionStream !== "only") {
      const y = this.#ffn(afterAttention);
      this.#g.output("y", y, shape);
      addBlockInfluence(this.#context, this.#x, y);
    } else if (fit === "down") this.#ffn(afterAttention);
    return this.#g.serialize();
  }

  /** [B, T, D] → [B, T, D], the residual stream after the attention. */
  #attention(x: Value): Value {
    const g = this.#g;
    const { numAttentionHeads: H, headDim: K } = this.#shape;
    const normed = this.#normedRows(x, "attentionNorm");
    this.#inputSquares("attentionInput", normed, this.#shape.hiddenSize);
    const isFused = this.#fuses && !needsMaps(this.#context);
    const context = isFused ? this.#attend(normed) : this.#attendByMaps(normed);
    this.#inputSquares("o", context, H * K);
    const output = this.#byDocument(g.linear(context, this.#weight("o"), this.#weights.get("oBias")), this.#shape.hiddenSize);
    const y = g.add(x, this.#postNorm(output, "postAttentionNorm"));

    addHeadEnergies(this.#context, context, this.#tokenScale(output, "postAttentionNorm"));
    if (this.#request.fit === "o") addFit(this.#context, context, H * K, x, this.#tokenScale(output, POST_NORMS.o));
    addResidualEnergy(this.#context, "attentionResidual", y);
    return y;
  }

  /** [B·T, D] → [B·T, H·K], head by head in one operator, which never holds the maps of all heads and computes nothing above the diagonal's rows. */
  #attend(normed: Value): Value {
    const g = this.#g;
    const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K, attentionScale, slidingWindow } = this.#shape;
    const { cos, sin, batchShape } = this.#context;
    const rotated = (role: "q" | "k", heads: number): Value => {
      const projected = this.#headNorm(g.reshape(this.#linear(normed, role), [-1, heads, K]), role);
      return g.node("RotaryEmbedding", [this.#byDocument(projected, heads * K), g.integers([0]), cos, sin]);
    };
    const [documents, tokens] = g.split(batchShape, 0, 2) as [Value, Value];
    const lastKey = g.cast(g.subtract(tokens, g.integers([1])), "i32");
    const inputs = [
      rotated("q", H),
      rotated("k", G),
      this.#byDocument(this.#linear(normed, "v"), G * K),
      null,
      null,
      g.node("Expand", [lastKey, documents]),
      g.cast(tokens, "i32"),
    ];
    const output = g.node("GroupQueryAttention", inputs, {
      num_heads: { int: H },
      kv_num_heads: { int: G },
      scale: { float: attentionScale },
      ...(slidingWindow !== null && { local_window_size: { int: slidingWindow } }),
    });
    return g.reshape(output, [-1, H * K]);
  }

  /** [B·T, D] → [B·T, H·K], with the attention maps at hand, and the energies that are made of them. */
  #attendByMaps(normed: Value): Value {
    const g = this.#g;
    const { numAttentionHeads: H, numKeyValueHeads: G, headDim: K, attentionScale } = this.#shape;
    const q = this.#rotatedHeads(normed, "q", H);
    const k = this.#rotatedHeads(normed, "k", G);
    const v = this.#project(normed, "v", G);
    const scale = g.scalar(attentionScale);
    const qScaled: Halves = { a: g.multiply(q.rotated.a, scale), b: g.multiply(q.rotated.b, scale) };

    // Heads h = g·R + r of a group share k and v: [B, H, T, n] is [B, G, R·T, n] in memory.
    const groupedQueries = g.reshape(g.concat([qScaled.a, qScaled.b], 3), [0, G, -1, K]);
    const keys = g.concat([k.rotated.a, k.rotated.b], 3);
    const products = toHeads(this.#context, g.matmul(groupedQueries, g.transpose(keys, [0, 1, 3, 2])), H, "T");
    const scores = g.add(products, this.#attentionMask());
    const probabilities = g.softmax(scores);
    const maps = groupMaps(this.#context, probabilities);
    const headOutputs = toHeads(this.#context, g.matmul(maps, v), H, K);
    addMapEnergies(this.#context, scores, probabilities, maps, q, qScaled, k);
    return g.reshape(g.transpose(headOutputs, [0, 2, 1, 3]), [-1, H * K]);
  }

  /** [T, T]: 0 where row t may look at s, itself and what stands before it in its window, −∞ elsewhere. */
  #attentionMask(): Value {
    const g = this.#g;
    const { slidingWindow } = this.#shape;
    const [, tokens] = g.split(this.#context.batchShape, 0, 2) as [Value, Value];
    const positions = g.node("Range", [g.integer(0), g.node("Squeeze", [tokens]), g.integer(1)]);
    const ago = g.subtract(g.node("Unsqueeze", [positions, g.integers([1])]), positions);
    const isPast = g.node("GreaterOrEqual", [ago, g.integer(0)]);
    const isSeen = slidingWindow === null ? isPast : g.node("And", [isPast, g.node("Less", [ago, g.integer(slidingWindow)])]);
    return g.node("Where", [isSeen, g.scalar(0), g.scalar(Number.NEGATIVE_INFINITY)]);
  }

  /** [B, T, D] → [B, T, D], the residual stream after the FFN. */
  #ffn(x: Value): Value {
    const g = this.#g;
    const activations = this.#ffnActivations(x);
    this.#inputSquares("down", activations, this.#shape.intermediateSize);
    const output = this.#byDocument(g.linear(activations, this.#weight("down")), this.#shape.hiddenSize);
    const y = g.add(x, this.#postNorm(output, "postFfnNorm"));
    addFfnEnergies(this.#context, activations, this.#tokenScale(output, "postFfnNorm"));
    if (this.#request.fit === "down")
      addFit(this.#context, activations, this.#shape.intermediateSize, x, this.#tokenScale(output, POST_NORMS.down));
    addResidualEnergy(this.#context, "ffnResidual", y);
    return y;
  }

  /** [B, T, D] → [B·T, F]. */
  #ffnActivations(x: Value): Value {
    const normed = this.#normedRows(x, "ffnNorm");
    this.#inputSquares("ffnInput", normed, this.#shape.hiddenSize);
    const gate = addActivation(this.#g, this.#g.linear(normed, this.#weight("gate")), this.#shape.hiddenActivation);
    return this.#g.multiply(gate, this.#g.linear(normed, this.#weight("up")));
  }

  /** Projects, normalises where the family does, and rotates: [B·T, D] → halves [B, heads, T, K/2]. */
  #rotatedHeads(normed: Value, role: "q" | "k", heads: number): RotatedHeads {
    const g = this.#g;
    const { cos, sin } = this.#context;
    const [a, b] = g.split(this.#headNorm(this.#project(normed, role, heads), role), 3, 2) as [Value, Value];
    const rotated: Halves = {
      a: g.subtract(g.multiply(a, cos), g.multiply(b, sin)),
      b: g.add(g.multiply(b, cos), g.multiply(a, sin)),
    };
    return { unrotated: { a, b }, rotated };
  }

  /** [B·T, D] → [B, heads, T, K]. */
  #project(normed: Value, role: "q" | "k" | "v", heads: number): Value {
    const g = this.#g;
    const shape = g.concat([this.#context.batchShape, g.integers([heads, this.#shape.headDim])], 0);
    return g.transpose(g.node("Reshape", [this.#linear(normed, role), shape]), [0, 2, 1, 3]);
  }

  /** [B·T, D] → [B·T, heads·K]. */
  #linear(normed: Value, role: "q" | "k" | "v"): Value {
    return this.#g.linear(normed, this.#weight(role), this.#weights.get(`${role}Bias`));
  }

  /** Normalises each head [..., K] where the family does. */
  #headNorm(heads: Value, role: "q" | "k"): Value {
    const norm = this.#weights.get(`${role}Norm`);
    return norm === undefined ? heads : this.#g.rmsNorm(heads, norm, this.#shape.rmsNormEps);
  }

  /** [B, T, D] → [B·T, D]. */
  #normedRows(x: Value, role: BlockRole): Value {
    return this.#g.reshape(this.#g.rmsNorm(x, this.#weight(role), this.#shape.rmsNormEps), [-1, this.#shape.hiddenSize]);
  }

  #postNorm(output: Value, role: "postAttentionNorm" | "postFfnNorm"): Value {
    return this.#weights.has(role) ? this.#g.rmsNorm(output, this.#weight(role), this.#shape.rmsNormEps) : output;
  }

  /**
   * Factor on each token's contributions to a sublayer's output, [B, T, 1]: 0 for padding, 1 for a real token. Behind a post norm it is
   * 1/rms of the output, so that energies measure what reaches the residual stream (the norm's weight is in the column norms and Grams).
   */
  #tokenScale(output: Value, role: "postAttentionNorm" | "postFfnNorm"): Value {
    const g = this.#g;
    const mask = g.reshape(this.#context.tokenMask, [0, -1, 1]);
    if (!this.#weights.has(role)) return mask;
    const meanSquare = g.multiply(g.sumOfSquares(output, [2], true), g.scalar(1 / this.#shape.hiddenSize));
    return g.node("Div", [mask, g.node("Sqrt", [g.add(meanSquare, g.scalar(this.#shape.rmsNormEps))])]);
  }

  /** Rows of B·T tokens → [B, T, width]. */
  #byDocument(x: Value, width: number): Value {
    const g = this.#g;
    return g.node("Reshape", [x, g.concat([this.#context.batchShape, g.integers([width])], 0)]);
  }

  #inputSquares(input: MatrixInput, rows: Value, width: number): void {
    if (this.#request.inputSquares) addInputSquares(this.#context, input, rows, width);
  }

  #weight(role: BlockRole): Value {
    const value = this.#weights.get(role);
    if (value === undefined) throw new Error(`a block without ${role}`);
    return value;
  }
}
