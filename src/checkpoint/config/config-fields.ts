/**
 * @file Type-checked access to the fields of a config.json: key → value of the requested type, or a `CONFIG_INVALID`
 * error that names the file, the key, and the values found and expected. As in transformers, a null value is treated
 * like an absent key.
 */

import { CusprunError } from "../../errors.ts";
import { isJsonObject, showValue, type JsonObject } from "../../json.ts";

/** Reads the fields of one JSON object. */
export class ConfigFields {
  readonly json: JsonObject;
  /** The file and the key of the object in it, for error messages. */
  readonly where: string;

  constructor(json: JsonObject, where: string) {
    this.json = json;
    this.where = where;
  }

  /** The value of a key, undefined if it is absent or null. */
  value(key: string): unknown {
    const value = Object.hasOwn(this.json, key) ? this.json[key] : undefined;
    return value === null ? undefined : value;
  }

  /**
   * Reads a positive integer. If `fallback` is undefined, the key is required.
   * @throws CusprunError `CONFIG_INVALID`.
   */
  positiveInteger(key: string, fallback?: number): number {
    const value = this.value(key) ?? fallback;
    if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
    throw this.invalid(key, value, "a positive integer");
  }

  /**
   * Reads a positive, finite number.
   * @throws CusprunError `CONFIG_INVALID`.
   */
  positiveNumber(key: string, fallback?: number): number {
    const value = this.value(key) ?? fallback;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    throw this.invalid(key, value, "a positive number");
  }

  /**
   * Reads a boolean.
   * @throws CusprunError `CONFIG_INVALID`.
   */
  boolean(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.invalid(key, value, "true or false");
  }

  /**
   * Reads a string.
   * @throws CusprunError `CONFIG_INVALID`.
   */
  string(key: string, fallback?: string): string {
    const value = this.value(key) ?? fallback;
    if (typeof value === "string") return value;
    throw this.invalid(key, value, "a string");
  }

  /**
   * Reads an object, or null if the key is absent.
   * @throws CusprunError `CONFIG_INVALID`.
   */
  object(key: string): ConfigFields | null {
    const value = this.value(key);
    return value === undefined ? null : this.entry(key, value);
  }

  /**
   * Converts a value found in this object to an object.
   * @param key the value's name in error messages.
   * @throws CusprunError `CONFIG_INVALID`.
   */
  entry(key: string, value: unknown): ConfigFields {
    if (isJsonObject(value)) return new ConfigFields(value, `${this.where}: ${key}`);
    throw this.invalid(key, value, "an object");
  }

  /**
   * Reads token ids: one id, a list of ids, or none.
   * @throws CusprunError `CONFIG_INVALID`.
   */
  tokenIds(key: string, fallback: number | null): number[] {
    const value = Object.hasOwn(this.json, key) ? this.value(key) : (fallback ?? undefined);
    if (value === undefined) return [];
    const ids: readonly unknown[] = Array.isArray(value) ? value : [value];
    return ids.map((id) => {
      if (typeof id === "number" && Number.isSafeInteger(id) && id >= 0) return id;
      throw this.invalid(key, value, "a token id, a list of token ids, or null");
    });
  }

  /** The error for a field with an invalid value. */
  invalid(key: string, found: unknown, expected: string): CusprunError {
    return new CusprunError("CONFIG_INVALID", {
      where: `${this.where}: ${key}`,
      found: showValue(found),
      expected,
      remedy: "Download the file again, or correct it",
    });
  }

  /** The error for a field whose value cusprun does not support and would ignore, which would make the output wrong. */
  unsupported(key: string, found: unknown, expected: string, remedy = "Choose another model"): CusprunError {
    return new CusprunError("CONFIG_UNSUPPORTED", {
      where: `${this.where}: ${key}`,
      found: showValue(found),
      expected: `${expected}, since cusprun does not support anything else`,
      remedy,
    });
  }
}
