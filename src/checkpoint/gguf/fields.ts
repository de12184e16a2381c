/**
 * @file Checked readers of a GGUF file's keys: key → value of the requested type, or an error that names the file and
 * the key.
 */

import { CusprunError } from "../../errors.ts";
import type { ErrorCode } from "../../errors.ts";
import { showValue } from "../../json.ts";
import { MAX_SIZES } from "../config/model-config-check.ts";
import type { GgufArray, GgufMetadata, GgufValue } from "./values.ts";

/** Remedy for a file that lacks something that current converters write. */
export const CONVERT_AGAIN = "Convert the model again with a current llama.cpp";

/** Significant decimal digits that distinguish every f32 from every other. */
const FLOAT32_DIGITS = 9;

/** Reads keys, most of which begin with the architecture's name. */
export class GgufFields {
  readonly path: string;
  readonly #metadata: GgufMetadata;

  constructor(metadata: GgufMetadata, path: string) {
    this.#metadata = metadata;
    this.path = path;
  }

  /** Whether the file has the key. */
  has(key: string): boolean {
    return this.#metadata.has(key);
  }

  /** The raw value; undefined if the file has no such key. */
  value(key: string): GgufValue | undefined {
    return this.#metadata.get(key);
  }

  /**
   * A string; undefined if the key is absent.
   * @throws CusprunError `GGUF_KEY_INVALID`.
   */
  optionalString(key: string): string | undefined {
    const value = this.value(key);
    if (value === undefined || typeof value === "string") return value;
    throw this.invalid(key, "a string");
  }

  /**
   * A finite number; undefined if the key is absent. An f32 becomes the shortest decimal that rounds to it: 1e-6, not
   * 9.999999974752427e-7. That is the number that was converted, and an f32 computation cannot tell the two apart.
   * @throws CusprunError `GGUF_KEY_INVALID`.
   */
  optionalNumber(key: string): number | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isFinite(value)) return shortestDecimal(value);
    throw this.invalid(key, "a finite number");
  }

  /**
   * A non-negative integer; undefined if the key is absent.
   * @throws CusprunError `GGUF_KEY_INVALID`.
   */
  optionalInteger(key: string): number | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    throw this.invalid(key, "a non-negative integer");
  }

  /**
   * A positive integer; undefined if the key is absent. A file may also have one per layer, if all are the same.
   * @throws CusprunError `GGUF_KEY_INVALID`, `GGUF_RAGGED` if layers differ.
   */
  optionalUniformInteger(key: string): number | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    const values = isArray(value) ? value : [value];
    const [first] = values;
    if (typeof first !== "number" || !Number.isSafeInteger(first) || first < 1) {
      throw this.invalid(key, "a positive integer, or one for each layer");
    }
    for (const other of values) {
      if (other === first) continue;
      throw this.error(
        "GGUF_RAGGED",
        key,
        `layers of different sizes, ${first} and ${other}`,
        "the same size in all layers",
        "Choose the original model, whose layers all have the same size",
      );
    }
    return first;
  }

  /**
   * A positive integer for each layer; a file may have one for all.
   * @throws CusprunError `GGUF_KEY_INVALID`, `GGUF_KEY_MISSING`.
   */
  layerIntegers(key: string, layers: number): number[] {
    const value = this.value(key);
    if (value === undefined || !isArray(value)) {
      const size = this.uniformInteger(key);
      return Array.from({ length: Math.min(layers, MAX_SIZES.numHiddenLayers) }, () => size);
    }
    const sizes = Array.from<unknown>(value);
    if (sizes.length === layers && sizes.every((size): size is number => Number.isSafeInteger(size) && Number(size) >= 1))
      return sizes;
    throw this.invalid(key, `a positive integer for each of the ${layers} layers`);
  }

  /**
   * As `optionalUniformInteger`, for a required key.
   * @throws CusprunError `GGUF_KEY_MISSING`, and as `optionalUniformInteger`.
   */
  uniformInteger(key: string): number {
    const value = this.optionalUniformInteger(key);
    if (value !== undefined) return value;
    throw this.error("GGUF_KEY_MISSING", key, "no such key", "a positive integer", CONVERT_AGAIN);
  }

  /** The error for an invalid value. */
  invalid(key: string, expected: string): CusprunError {
    return this.error(
      "GGUF_KEY_INVALID",
      key,
      describeValue(this.value(key)),
      expected,
      "The file is damaged: download it again",
    );
  }

  /** The error for a value that would need arithmetic that cusprun does not have. */
  unsupported(key: string, expected: string, remedy = "Choose another model"): CusprunError {
    return this.error(
      "GGUF_UNSUPPORTED",
      key,
      describeValue(this.value(key)),
      `${expected}, since cusprun does not support anything else`,
      remedy,
    );
  }

  /** An error about a key. */
  error(code: ErrorCode, key: string, found: string, expected: string, remedy: string): CusprunError {
    return new CusprunError(code, { where: `${this.path}: key '${key}'`, found, expected, remedy });
  }
}

/** Whether a value is an array. */
export function isArray(value: GgufValue): value is GgufArray {
  return typeof value === "object";
}

/** The shortest decimal that rounds to the same f32; the value itself if it is not an f32. */
export function shortestDecimal(value: number): number {
  if (Math.fround(value) !== value) return value;
  for (let digits = 1; digits < FLOAT32_DIGITS; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}

function describeValue(value: GgufValue | undefined): string {
  if (value === undefined) return "no such key";
  return isArray(value) ? `an array of ${value.length}` : showValue(value);
}
