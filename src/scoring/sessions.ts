/**
 * @file ONNX Runtime: sessions from graphs, and runs with typed arrays in and out.
 */

import { cpus } from "node:os";
import { InferenceSession, Tensor } from "onnxruntime-node";

/** An array with its shape, as it is fed to a graph. */
export interface Feed {
  readonly data: Float32Array | Float64Array | BigInt64Array;
  readonly shape: readonly number[];
}

/** An array to be written to. */
export function zeroFeed(...shape: number[]): Feed {
  return { data: new Float32Array(shape.reduce((product, size) => product * size, 1)), shape };
}

/** One compiled graph, whose outputs are all of one dtype. `run` blocks the event loop of its thread while it computes. */
export class GraphSession<Output extends Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer> = Float32Array<ArrayBuffer>> {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  /** Compiles an ONNX model for the CPU. @param model serialised, or the path of a file, beside which its weights may be. */
  static async create<Output extends Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer> = Float32Array<ArrayBuffer>>(
    model: Uint8Array | string,
  ): Promise<GraphSession<Output>> {
    const options: InferenceSession.SessionOptions = {
      executionProviders: ["cpu"],
      graphOptimizationLevel: "all",
      intraOpNumThreads: cpus().length,
      // The arena keeps the largest buffers of every shape it has seen; batches have many shapes.
      enableCpuMemArena: false,
      logSeverityLevel: 3,
    };
    const session = await (typeof model === "string"
      ? InferenceSession.create(model, options)
      : InferenceSession.create(model, options));
    return new GraphSession<Output>(session);
  }

  /**
   * Runs the graph.
   * @param outputs names of the outputs wanted; all of them unless said.
   * @param into arrays that outputs are written to, by name; the others come in fresh ones, which wait for the garbage collector in the end.
   */
  async run(
    feeds: Readonly<Record<string, Feed>>,
    outputs: readonly string[] = this.#session.outputNames,
    into: Readonly<Record<string, Feed>> = {},
  ): Promise<Readonly<Record<string, Output>>> {
    const inputs = Object.fromEntries(Object.entries(feeds).map(([name, feed]) => [name, asTensor(feed)]));
    const fetches = outputs.map((name) => [name, name in into ? asTensor(into[name]!) : null] as const);
    const results = await this.#session.run(inputs, Object.fromEntries(fetches));
    return Object.fromEntries(
      Object.entries(results).map(([name, tensor]) => [name, (into[name]?.data ?? tensor.data) as Output]),
    );
  }

  /** Frees the session's memory. */
  async close(): Promise<void> {
    await this.#session.release();
  }
}

function asTensor({ data, shape }: Feed): Tensor {
  if (data instanceof Float32Array) return new Tensor("float32", data, shape);
  return data instanceof Float64Array ? new Tensor("float64", data, shape) : new Tensor("int64", data, shape);
}
