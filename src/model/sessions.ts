/**
 * @file ONNX Runtime: sessions from graphs, and runs with typed arrays in and out.
 */

import { cpus } from "node:os";
import { env, InferenceSession, listSupportedBackends, Tensor } from "onnxruntime-node";
import { DEVICES, type Device } from "../device.ts";
import { CusprunError } from "../errors.ts";
import { OnnxGraph } from "./onnx-graph.ts";
import { disableTelemetry } from "./telemetry.ts";

disableTelemetry();
// Errors are thrown; the runtime must not also print them to stderr.
env.logLevel = "fatal";

/** An array with its shape, as it is fed to a graph. */
export interface Feed {
  readonly data: Float32Array | Float64Array | BigInt64Array;
  readonly shape: readonly number[];
}

/**
 * One compiled graph, whose outputs are all of one dtype. `run` blocks the event loop of its thread while it computes.
 */
export class GraphSession<Output extends Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer> = Float32Array<ArrayBuffer>> {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  /**
   * Compiles an ONNX model.
   * @param model serialized, or the path of a file, which may have its weights in files next to it.
   * @param device default: the CPU, which also runs the operators that another device lacks.
   */
  static async create<Output extends Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer> = Float32Array<ArrayBuffer>>(
    model: Uint8Array | string,
    device: Device = "cpu",
  ): Promise<GraphSession<Output>> {
    const options: InferenceSession.SessionOptions = {
      executionProviders: device === "cpu" ? ["cpu"] : [device, "cpu"],
      graphOptimizationLevel: "all",
      intraOpNumThreads: cpus().length,
      // The arena keeps the largest buffers of every shape it has seen; batches have many shapes.
      enableCpuMemArena: false,
      // Spinning gains nothing here, and takes a core from other work (docs/LOG.md).
      extra: { session: { intra_op: { allow_spinning: "0" } } },
      logSeverityLevel: 3,
    };
    const session = await (typeof model === "string"
      ? InferenceSession.create(model, options)
      : InferenceSession.create(model, options));
    return new GraphSession<Output>(session);
  }

  /**
   * Runs the graph.
   * @param outputs names of the wanted outputs. Default: all.
   * @param into arrays that outputs are written to, by name; the others are written to new arrays.
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

/**
 * Checks that a device works, by computing a product on it.
 * @param device default: the CPU, which is not checked.
 * @throws CusprunError `DEVICE_UNAVAILABLE` if it is missing or does not work.
 */
export async function checkDevice(device: Device = "cpu"): Promise<void> {
  if (device === "cpu") return;
  const backends = listSupportedBackends();
  const graph = new OnnxGraph();
  const x = graph.input("x", ["M", 1]);
  graph.output("y", graph.matmul(x, x), ["M", 1]);
  try {
    // ONNX Runtime would ignore a missing provider silently.
    if (!backends.some(({ name }) => name === device)) throw new Error("no such device in onnxruntime-node for this system");
    const session = await GraphSession.create(graph.serialize(), device);
    const { y } = await session.run({ x: { data: Float32Array.of(3), shape: [1, 1] } });
    await session.close();
    if (y?.[0] !== 9) throw new Error(`3 · 3 = ${y?.[0]}`);
  } catch (error) {
    const driver = device === "cuda" ? "Install its driver and onnxruntime-node's libraries for CUDA" : "Install its driver";
    const usable = backends.map(({ name }) => name).filter((name) => (DEVICES as readonly string[]).includes(name));
    const parts = {
      where: `device ${device}`,
      found: error instanceof Error ? error.message.split("\n", 1)[0]! : String(error),
      expected: `a working device; on this system onnxruntime-node supports ${usable.join(", ")}`,
      remedy: `${driver}, or omit --device to run on the CPU`,
    };
    throw new CusprunError("DEVICE_UNAVAILABLE", parts, { cause: error });
  }
}

function asTensor({ data, shape }: Feed): Tensor {
  if (data instanceof Float32Array) return new Tensor("float32", data, shape);
  return data instanceof Float64Array ? new Tensor("float64", data, shape) : new Tensor("int64", data, shape);
}
