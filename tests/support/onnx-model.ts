/**
 * @file An exported ONNX model in ONNX Runtime, used like a program would that knows its inputs but not cusprun.
 */

import { readFile, writeFile } from "node:fs/promises";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { InferenceSession, Tensor } from "onnxruntime-node";

/** Keys and values of every layer, by the name of the input that takes them. */
export type Cache = Readonly<Record<string, Tensor>>;

/** The outputs of a run. */
export interface OnnxRun {
  /** [B][rows][V] */
  readonly logits: number[][][];
  readonly cache: Cache;
}

/** A loaded model. */
export class OnnxModel {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  /**
   * Loads an .onnx file with the runtime's own settings.
   * @param exact computes products with quantised weights in f32, although the file requests integers: loads a copy
   * without that request, which is written next to the file.
   */
  static async load(path: string, { exact = false } = {}): Promise<OnnxModel> {
    let file = path;
    if (exact) {
      const model = fromBinary(ModelProtoSchema, await readFile(path));
      for (const node of model.graph!.node) node.attribute = node.attribute.filter(({ name }) => name !== "accuracy_level");
      file = `${path}.exact`;
      await writeFile(file, toBinary(ModelProtoSchema, model));
    }
    return new OnnxModel(await InferenceSession.create(file, { logSeverityLevel: 3 }));
  }

  /**
   * Runs rows of ids of one length.
   * @param mask of all earlier ids and these; default: all are real.
   * @param kept rows of logits; 0: all.
   */
  async run(
    ids: readonly (readonly number[])[],
    { mask, cache, kept = 0 }: { mask?: readonly (readonly number[])[]; cache?: Cache; kept?: number } = {},
  ): Promise<OnnxRun> {
    const past = cache ?? this.#emptyCache(ids.length);
    const seen = Object.values(past)[0]!.dims[2]!;
    const rows = mask ?? ids.map((row) => Array.from({ length: seen + row.length }, () => 1));
    const results = await this.#session.run({
      input_ids: integers(ids),
      attention_mask: integers(rows),
      num_logits_to_keep: new Tensor("int64", BigInt64Array.of(BigInt(kept)), []),
      ...past,
    });
    const next = Object.entries(results).flatMap(([name, tensor]) =>
      name.startsWith("present.") ? [[name.replace("present", "past_key_values"), tensor] as const] : [],
    );
    return { logits: nested(results["logits"]!), cache: Object.fromEntries(next) };
  }

  /** Frees its memory. */
  async close(): Promise<void> {
    await this.#session.release();
  }

  #emptyCache(batch: number): Cache {
    const entries = this.#session.inputMetadata.flatMap((input) => {
      if (!input.isTensor || !input.name.startsWith("past_key_values.")) return [];
      const shape = input.shape.map((size) => (typeof size === "number" ? size : size === "batch_size" ? batch : 0));
      return [[input.name, new Tensor("float32", new Float32Array(0), shape)] as const];
    });
    return Object.fromEntries(entries);
  }
}

function integers(rows: readonly (readonly number[])[]): Tensor {
  return new Tensor("int64", BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0]!.length]);
}

function nested(tensor: Tensor): number[][][] {
  const [batch = 0, rows = 0, width = 0] = tensor.dims;
  const values = tensor.data as Float32Array;
  const row = (index: number): number[] => [...values.subarray(index * width, (index + 1) * width)];
  return Array.from({ length: batch }, (_, b) => Array.from({ length: rows }, (__, t) => row(b * rows + t)));
}
