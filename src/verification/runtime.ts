/**
 * @file The seam to stock runtimes: what each is asked, and what it answers. A runtime runs in a child process of its own with a time limit,
 * since some hang or abort; none of them is a dependency, each is looked up when it is asked for.
 */

/** What a runtime is asked about one model. */
export interface RuntimeRequest {
  /** The GGUF file or the folder. */
  readonly path: string;
  /** Token ids whose next-token distributions are compared. */
  readonly ids: readonly number[];
  /** The text that the ids are of, to be tokenised by the runtime as well; null for a model without a tokenizer of its own. */
  readonly text: string | null;
  /** Tokens of the greedy continuation, with the runtime's own cache. */
  readonly newTokens: number;
  /** Lets Python run the code that stands in the folder. */
  readonly trustRemoteCode: boolean;
}

/** What a runtime answers. */
export interface RuntimeAnswer {
  /** Name and version of the package, e.g. `transformers 5.18.0`. */
  readonly version: string;
  /** Logits, or logarithms of probabilities, behind every token, [T, V]. */
  readonly logits: Float32Array;
  /** V */
  readonly vocabSize: number;
  /** The most probable next tokens, one after the other; fewer than asked for where the text ends. */
  readonly continuation: readonly number[];
  /** The text's ids without those that are put before it; null where it was not asked for. */
  readonly textIds: readonly number[] | null;
}

/** A runtime that is not there; `reason` says what was looked for. */
export interface AbsentRuntime {
  readonly reason: string;
}

/** A part of an expert that a runtime loads. */
export interface RuntimeTarget {
  /** For readers: the GGUF file's name, `safetensors`, `onnx/model_q4.onnx`. */
  readonly label: string;
  readonly path: string;
  /** What cusprun reads to compare with: the part itself, or what stands beside a part that it does not read. */
  readonly reference: string;
  /**
   * `float`; `quantized`, so that a runtime may compute in integers where we do not; or `requantized`, further than what we compare with, since
   * we do not read this part ourselves.
   */
  readonly weights: "float" | "quantized" | "requantized";
}

/** A stock runtime. */
export interface Runtime {
  /** As its users call it. */
  readonly name: string;
  /** The parts of an expert that it loads. @param path a file or a folder. */
  targetsOf(path: string): Promise<readonly RuntimeTarget[]>;
  /** Finds the runtime; null where it is there. */
  absence(): Promise<AbsentRuntime | null>;
  /**
   * Asks the runtime.
   * @throws RuntimeFailure where it refuses the model, ends without an answer or takes too long.
   */
  ask(target: RuntimeTarget, request: RuntimeRequest, signal?: AbortSignal): Promise<RuntimeAnswer>;
}

/** A runtime that did not answer. The message is its own, in short. */
export class RuntimeFailure extends Error {
  override readonly name = "RuntimeFailure";
}
