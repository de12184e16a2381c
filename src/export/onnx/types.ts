/**
 * @file The types of an ONNX export, as data: the name of each in transformers.js, and how it stores matrices.
 * Source of names and suffixes: transformers.js 4.3, `utils/dtypes.js`.
 */

/** How an ONNX file stores its matrices; the names of `--type`. */
export const ONNX_TYPES = ["f32", "fp16", "q8", "q4"] as const;

/** A type of ONNX file. */
export type OnnxType = (typeof ONNX_TYPES)[number];

/** How one matrix is stored: as floats, or in blocks of 32 values of a row with a scale each. */
export type MatrixStorage = "f32" | "f16" | "q8" | "q4";

/** A type as data. */
export interface OnnxTypeForm {
  /** transformers.js' `dtype`. */
  readonly dtype: string;
  /** Name of the file in the folder `onnx`. */
  readonly fileName: string;
  /** Matrices of the blocks. */
  readonly blocks: MatrixStorage;
  /** Embedding and output head. */
  readonly vocabulary: Exclude<MatrixStorage, "q4">;
}

/** Every type. In q4 the vocabulary's matrices keep eight bits, as llama.cpp keeps them in Q6_K: they matter most. */
export const ONNX_TYPE_FORMS: Readonly<Record<OnnxType, OnnxTypeForm>> = {
  f32: { dtype: "fp32", fileName: "model.onnx", blocks: "f32", vocabulary: "f32" },
  fp16: { dtype: "fp16", fileName: "model_fp16.onnx", blocks: "f16", vocabulary: "f16" },
  q8: { dtype: "q8", fileName: "model_quantized.onnx", blocks: "q8", vocabulary: "q8" },
  q4: { dtype: "q4", fileName: "model_q4.onnx", blocks: "q4", vocabulary: "q8" },
};
