/**
 * @file JSON schemas, with the library ajv: their parts, and validators that are compiled when they are first needed,
 * and once.
 */

import { Ajv, type Options, type ValidateFunction } from "ajv";

/** The schema of an object that has all these properties, and may have others. */
export function objectOf(properties: Readonly<Record<string, object>>): object {
  return { type: "object", properties, required: Object.keys(properties) };
}

/** The schema of a list. */
export function listOf(items: object): object {
  return { type: "array", items };
}

/**
 * The validator of a schema. By default NaN and infinity are no numbers to it.
 * @returns a function that returns the compiled validator.
 */
export function validatorOf(schema: object, options: Options = {}): () => ValidateFunction {
  let validate: ValidateFunction | null = null;
  return () => (validate ??= new Ajv({ allowUnionTypes: true, ...options }).compile(schema));
}
