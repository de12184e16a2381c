/**
 * @file The config of the text model: config.json itself, or `text_config` in the config.json of a model of several
 * parts, completed so that it is the config.json of a text model by itself. Source: transformers 5.23,
 * `PreTrainedConfig` (nested configs) and `get_expanded_tied_weights_keys` (the outer `tie_word_embeddings` decides).
 */

import type { JsonObject } from "../../json.ts";
import type { FamilyWrapper } from "../../families/family.ts";
import { familiesOfWrapper, modelClass, type WrappedFamily, wrapperModelTypes } from "../../families/index.ts";
import { ConfigFields } from "./config-fields.ts";
import { parseHfConfig } from "./hf-config.ts";
import type { ModelConfig } from "./model-config.ts";

/** The config of a text model. */
export interface ParsedModelConfig {
  readonly config: ModelConfig;
  /** The config.json of the text model by itself. */
  readonly configJson: JsonObject;
  /** The model that contains the text model; null if the file is the config.json of a text model. */
  readonly wrapper: FamilyWrapper | null;
}

/** Keys of nested configs: of the parts of a model. */
const PART_KEYS = ["text_config", "vision_config", "audio_config"];

/** Keys that count from the outer config if it has them: it is what generation reads. */
const OUTER_KEYS = ["bos_token_id", "eos_token_id", "pad_token_id", "transformers_version"];

/**
 * Reads a config.json.
 * @param json the parsed file.
 * @param where the file, for error messages.
 * @param hasHead whether the model stores an output head; null if that is unknown.
 * @throws CusprunError `UNKNOWN_FAMILY`, `CONFIG_INVALID`, `CONFIG_UNSUPPORTED`.
 */
export function parseModelConfig(json: JsonObject, where: string, hasHead: boolean | null = null): ParsedModelConfig {
  const text = findTextConfig(json, where, hasHead);
  return { config: parseHfConfig(text.json, text.where), configJson: text.json, wrapper: text.wrapper };
}

/** The text model's part of a config.json. */
interface TextConfig {
  readonly json: JsonObject;
  /** The file and the key, for error messages. */
  readonly where: string;
  readonly wrapper: FamilyWrapper | null;
}

function findTextConfig(json: JsonObject, where: string, hasHead: boolean | null): TextConfig {
  const fields = new ConfigFields(json, where);
  const modelType = fields.value("model_type");
  const candidates = typeof modelType === "string" ? familiesOfWrapper(modelType) : [];
  const part = PART_KEYS.find((key) => fields.value(key) !== undefined);
  if (candidates.length === 0 && part === undefined) return { json, where, wrapper: null };
  const text = fields.object("text_config");
  if (candidates.length === 0 || text === null) {
    throw fields.unsupported(
      candidates.length === 0 ? "model_type" : "text_config",
      candidates.length === 0 ? modelType : undefined,
      `a text model, or a multimodal model with a text_config of one of these kinds: ${wrapperModelTypes().join(", ")}`,
      "Choose a text-only model of a supported family",
    );
  }
  const found = wrappedFamily(candidates, text);
  return { json: completeJson(found, fields, text, hasHead), where: text.where, wrapper: found.wrapper };
}

function wrappedFamily(candidates: readonly WrappedFamily[], text: ConfigFields): WrappedFamily {
  const modelType = text.value("model_type");
  const found = candidates.find(({ wrapper }) =>
    modelType === undefined ? wrapper.isDefault : wrapper.textModelType === modelType,
  );
  if (found !== undefined) return found;
  const known = candidates.map(({ wrapper }) => wrapper.textModelType).join(" or ");
  throw text.unsupported("model_type", modelType, known, "Choose a text-only model of a supported family");
}

function completeJson(
  { family, wrapper }: WrappedFamily,
  outer: ConfigFields,
  text: ConfigFields,
  hasHead: boolean | null,
): JsonObject {
  const { torch_dtype: oldDType, dtype = oldDType, ...own } = text.json;
  const given = (fields: ConfigFields, keys: readonly string[]): Record<string, unknown> =>
    Object.fromEntries(keys.flatMap((key) => (fields.value(key) === undefined ? [] : [[key, fields.value(key)]])));
  return {
    ...family.configRules.nestedSizes,
    ...own,
    ...given(outer, OUTER_KEYS),
    architectures: [modelClass(family)],
    model_type: family.modelTypes[0],
    dtype: outer.value("dtype") ?? outer.value("torch_dtype") ?? dtype,
    tie_word_embeddings: isTied(wrapper, outer, text, hasHead),
  };
}

/** Whether the output head is the embedding. */
function isTied(
  { defaultTieWordEmbeddings }: FamilyWrapper,
  outer: ConfigFields,
  text: ConfigFields,
  hasHead: boolean | null,
): unknown {
  // transformers 4 saved the key in text_config only.
  const explicit = outer.value("tie_word_embeddings") ?? text.value("tie_word_embeddings");
  // A head that is stored although the default ties it is used.
  return explicit ?? (hasHead === true ? false : defaultTieWordEmbeddings);
}
