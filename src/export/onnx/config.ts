/**
 * @file The small files next to an ONNX model: config.json with the keys that transformers.js needs,
 * generation_config.json, and the tokenizer.
 */

import type { Checkpoint, TokenizerFiles } from "../../checkpoint/checkpoint.ts";
import { familyNamed, isRaggedModelType, modelClass } from "../../families/index.ts";
import type { OnnxTypeForm } from "./types.ts";

/**
 * Contents by file name.
 * @param dataFileCount number of files of weights next to the model.
 */
export function onnxFolderFiles(
  checkpoint: Checkpoint,
  tokenizer: TokenizerFiles,
  form: OnnxTypeForm,
  dataFileCount: number,
): ReadonlyMap<string, string> {
  const { configJson, config } = checkpoint;
  const external = dataFileCount === 0 ? {} : { use_external_data_format: { [form.fileName]: dataFileCount } };
  const generation = checkpoint.generationConfigJson ?? {
    _from_model_config: true,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenIds,
  };
  return new Map([
    [
      "config.json",
      json({ ...configJson, ...stockClass(checkpoint), "transformers.js_config": { dtype: form.dtype, ...external } }),
    ],
    ["generation_config.json", json(generation)],
    ["tokenizer.json", json(tokenizer.tokenizerJson)],
    // transformers.js reads a chat template here and nowhere else.
    ["tokenizer_config.json", json(tokenizer.tokenizerConfig)],
  ]);
}

/** Layers of different sizes are in the graph itself, so that config.json can name the family's stock class. */
function stockClass({ config, configJson }: Checkpoint): Readonly<Record<string, unknown>> {
  if (!isRaggedModelType(configJson["model_type"])) return {};
  const family = familyNamed(config.family);
  return {
    model_type: family.modelTypes[0],
    architectures: [modelClass(family)],
    auto_map: undefined,
  };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
