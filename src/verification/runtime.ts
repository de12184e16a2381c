/**
 * @file The interface to stock runtimes: requests and answers. Each runtime runs in a child process with a time limit,
 * since some hang or abort. None of them is a dependency; each is looked up on demand.
 */

/** A request to a runtime about one model. */
export interface RuntimeRequest {
  /** The GGUF file or the folder. */
  readonly path: string;
  /** Token ids of the text whose next-token distributions are compared. */
  readonly ids: readonly number[];
  /** The text of the ids, which the runtime tokenises too; null for a model without a tokenizer. */
  readonly text: string | null;
  /** Number of tokens of the greedy continuation, generated with the runtime's own KV cache. */
  readonly newTokens: number;
  /** Allows Python to run the code in the folder. */
  readonly trustRemoteCode: boolean;
}

/** A runtime's answer. */
export interface RuntimeAnswer {
  /** Name and version of the package, e.g. `transformers 5.18.0`. */
  readonly version: string;
  /** Logits or log probabilities after every token, [T, V]. */
  readonly logits: Float32Array;
  /** V */
  readonly vocabSize: number;
  /** Greedy continuation; fewer tokens than requested if the text ends. */
  readonly continuation: readonly number[];
  /** The runtime's ids of the text, without prefix tokens; null if not requested. */
  readonly textIds: readonly number[] | null;
}

/** A runtime that is not installed; `reason` names what is missing. */
export interface AbsentRuntime {
  readonly reason: string;
}

/** A part of an expert that a runtime can load. */
export interface RuntimeTarget {
  /** Label for the report: the GGUF file's name, `safetensors`, `onnx/model_q4.onnx`. */
  readonly label: string;
  readonly path: string;
  /**
   * The model that cusprun computes for comparison: the part itself, or the folder next to a part that it cannot read.
   */
  readonly reference: string;
  /**
   * `float`; `quantized`: the runtime may compute in integers, unlike cusprun; or `requantized`: cusprun cannot read
   * this part and compares it with its less quantised reference.
   */
  readonly weights: "float" | "quantized" | "requantized";
}

/** A stock runtime. */
export interface Runtime {
  /** Its usual name. */
  readonly name: string;
  /** The parts of an expert that it can load. @param path a file or a folder. */
  targetsOf(path: string): Promise<readonly RuntimeTarget[]>;
  /** Looks for the runtime; null if it is installed. */
  absence(): Promise<AbsentRuntime | null>;
  /**
   * Sends a request to the runtime.
   * @throws RuntimeFailure if it rejects the model, exits without an answer or takes too long.
   */
  ask(target: RuntimeTarget, request: RuntimeRequest, signal?: AbortSignal): Promise<RuntimeAnswer>;
}

/** A runtime that did not answer. The message is a shortened version of its own. */
export class RuntimeFailure extends Error {
  override readonly name = "RuntimeFailure";
}
