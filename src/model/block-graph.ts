/**
 * @file One decoder block as an ONNX graph whose weights are inputs, so that one session serves all layers of a shape:
 * hidden states in, hidden states out, and in addition whatever a request measures.
 *
 * Inputs:  x [B, T, D] · tokenMask [B, T] (1 real, 0 padding) · cos, sin [T, K/2] · the weights by role
 * Outputs: by request (block-request.ts): y [B, T, D] · attentionStream [B, T, D] · the energies of `ENERGY_OUTPUTS`,
 *          summed over a document's real tokens · sums of squares of the matrices' inputs · what an output matrix
 *          multiplies
 *
 * Padding is on the right, where causal attention never looks at it; it is masked out of every sum.
 * Formulas: docs/architecture.md, "Relevance". Paper: PLND, arXiv 2402.18815, section 3 and appendix.
 */

import { blockTensorShape } from "../checkpoint/check-tensors.ts";
import { type BlockRole, type MatrixRole, type NormRole, type OutputRole, POST_NORMS } from "../families/roles.ts";
import type { Device } from "../device.ts";
import { addMappedAttention } from "./attention-maps.ts";
import type { BlockContext } from "./block-context.ts";
import { addBlockInfluence, addFfnEnergies, addHeadEnergies, addResidualEnergy } from "./block-energies.ts";
import type { EnergyContext } from "./block-energies.ts";
import { addInputSquares } from "./block-inputs.ts";
import type { BlockRequest, EnergyRequest, InnerRequest } from "./block-request.ts";
import { type BlockShape, innerSize } from "./block-shape.ts";
import {
  addAttention,
  addFfn,
  addOutput,
  biasOf,
  byDocument,
  type BlockBuilder,
  type Project,
  type Sublayer,
} from "./decoder-block.ts";
import { addFusedAttention } from "./fused-attention.ts";
import { addMapEnergies, needsMaps } from "./map-energies.ts";
import { OnnxGraph } from "./onnx-graph.ts";
import type { Value } from "./onnx-graph.ts";

/** ONNX Runtime's fused attention requires a head size that is a multiple of this. */
const FUSED_HEAD_MULTIPLE = 8;

/**
 * Builds the graph of a block.
 * @param device The fused attention is used on the CPU alone: WebGPU's was off by 17% in ONNX Runtime 1.30.
 */
export function buildBlockGraph(shape: BlockShape, request: BlockRequest, device: Device = "cpu"): Uint8Array<ArrayBuffer> {
  return new BlockGraph(shape, device).build(request);
}

class BlockGraph implements BlockBuilder {
  readonly graph = new OnnxGraph();
  readonly shape: BlockShape;
  readonly batchShape: Value;
  readonly #context: BlockContext;
  readonly #weights: ReadonlyMap<BlockRole, Value>;
  /** [B, T, D] */
  readonly #x: Value;
  readonly #fuses: boolean;

  constructor(shape: BlockShape, device: Device) {
    const g = this.graph;
    this.shape = shape;
    this.#fuses = device === "cpu" && shape.headDim % FUSED_HEAD_MULTIPLE === 0;
    this.#x = g.input("x", ["B", "T", shape.hiddenSize]);
    this.#weights = new Map(shape.roles.map((role) => [role, g.input(role, blockTensorShape(role, shape))]));
    this.batchShape = g.node("Shape", [this.#x], { start: { int: 0 }, end: { int: 2 } });
    this.#context = {
      graph: g,
      shape,
      tokenMask: g.input("tokenMask", ["B", "T"]),
      cos: g.input("cos", ["T", shape.headDim / 2]),
      sin: g.input("sin", ["T", shape.headDim / 2]),
      batchShape: this.batchShape,
    };
  }

  build(request: BlockRequest): Uint8Array<ArrayBuffer> {
    const x = this.graph.reshape(this.#x, [-1, this.shape.hiddenSize]);
    switch (request.part) {
      case "block": {
        const energies = request.energies === undefined ? null : this.#energyContext(request.energies);
        const attention = this.#attention(x, energies);
        const ffn = addFfn(this, attention.stream);
        if (request.attentionStream) this.#outputStream("attentionStream", attention.stream);
        this.#outputStream("y", ffn.stream);
        if (energies !== null) this.#addEnergies(energies, attention, ffn);
        break;
      }
      case "attention":
        this.#outputStream("attentionStream", this.#attention(x).stream);
        break;
      case "inner":
        this.#addInner(request, x);
        break;
      case "output": {
        const inner = this.graph.input("inner", ["B", "T", innerSize(this.shape, request.matrix)]);
        this.#outputStream(
          "y",
          addOutput(this, x, this.graph.reshape(inner, [-1, innerSize(this.shape, request.matrix)]), request.matrix).stream,
        );
        break;
      }
      default:
        throw request satisfies never;
    }
    return this.graph.serialize();
  }

  linear(x: Value, role: MatrixRole): Value {
    const bias = biasOf(this.shape, role);
    return this.graph.linear(x, this.#weight(role), bias === null ? undefined : this.#weight(bias));
  }

  norm(x: Value, role: NormRole): Value {
    return this.graph.rmsNorm(x, this.#weight(role), this.shape.rmsNormEps);
  }

  #attention(x: Value, energies: EnergyContext | null = null): Sublayer {
    return addAttention(this, x, (project) => {
      if (energies !== null && needsMaps(energies.energies)) {
        const attention = addMappedAttention(this.#context, project);
        addMapEnergies(energies, attention);
        return attention.attended;
      }
      return this.#fuses ? this.#fusedAttention(project) : addMappedAttention(this.#context, project).attended;
    });
  }

  /** [B, T, H·K] */
  #fusedAttention(project: Project): Value {
    const g = this.graph;
    const [documents, tokens] = g.split(this.batchShape, 0, 2) as [Value, Value];
    const lastKey = g.cast(g.subtract(tokens, g.integers([1])), "i32");
    const { cos, sin } = this.#context;
    const [attended] = addFusedAttention(this, project, {
      rotaryRows: g.integers([0]),
      cos,
      sin,
      lastKeys: g.node("Expand", [lastKey, documents]),
      keyCount: g.cast(tokens, "i32"),
      past: null,
      bias: null,
    });
    return attended!;
  }

  #energyContext({ outputs, mapChange }: EnergyRequest): EnergyContext {
    return { ...this.#context, energies: new Set(outputs), mapChange };
  }

  #addEnergies(context: EnergyContext, attention: Sublayer, ffn: Sublayer): void {
    const y = byDocument(this, ffn.stream);
    addHeadEnergies(context, attention.inner, this.#tokenScale(attention, "o"));
    addResidualEnergy(context, "attentionResidual", byDocument(this, attention.stream));
    addFfnEnergies(context, ffn.inner, this.#tokenScale(ffn, "down"));
    addResidualEnergy(context, "ffnResidual", y);
    addBlockInfluence(context, this.#x, y);
  }

  /** @param x [N, D] */
  #addInner(request: InnerRequest, x: Value): void {
    const { matrix } = request;
    const n = innerSize(this.shape, matrix);
    let before = x;
    if (request.from === "block") {
      before = this.#attention(x).stream;
      this.#outputStream("attentionStream", before);
    }
    const sublayer = matrix === "o" ? this.#attention(before) : addFfn(this, before);
    this.graph.output("inner", byDocument(this, sublayer.inner), ["B", "T", n]);
    if (this.#weights.has(POST_NORMS[matrix])) {
      const scale = this.graph.reshape(this.#tokenScale(sublayer, matrix), [0, -1]);
      this.graph.output("tokenScale", scale, ["B", "T"]);
    }
    if (request.inputSquares) {
      addInputSquares(this.#context, matrix === "o" ? "attentionInput" : "ffnInput", sublayer.input, this.shape.hiddenSize);
      addInputSquares(this.#context, matrix, sublayer.inner, n);
    }
  }

  /**
   * Factor on each token's contributions to a sublayer's output, [B, T, 1]: 0 for padding, 1 for a real token. With a
   * post norm it is 1/rms of the output, so that energies measure what reaches the residual stream (the norm's weight
   * is in the column norms and Grams).
   */
  #tokenScale({ output }: Sublayer, role: OutputRole): Value {
    const g = this.graph;
    const mask = g.reshape(this.#context.tokenMask, [0, -1, 1]);
    if (!this.#weights.has(POST_NORMS[role])) return mask;
    const meanSquare = g.multiply(g.sumOfSquares(byDocument(this, output), [2], true), g.scalar(1 / this.shape.hiddenSize));
    return g.node("Div", [mask, g.node("Sqrt", [g.add(meanSquare, g.scalar(this.shape.rmsNormEps))])]);
  }

  #outputStream(name: "y" | "attentionStream", rows: Value): void {
    this.graph.output(name, byDocument(this, rows), ["B", "T", this.shape.hiddenSize]);
  }

  #weight(role: BlockRole): Value {
    const value = this.#weights.get(role);
    if (value === undefined) throw new Error(`a block without ${role}`);
    return value;
  }
}
