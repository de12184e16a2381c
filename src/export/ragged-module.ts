/**
 * @file The Python file beside the weights of a model whose layers differ in size: transformers' own classes of the family, with each
 * layer's attention and MLP built in the layer's own sizes. It runs where remote code is trusted, in transformers 4.57 and 5.
 */

import type { FamilyName } from "../checkpoint/families.ts";
import { RAGGED_CONFIG_CLASS, RAGGED_MODEL_CLASS, raggedModelType } from "../checkpoint/hf-ragged.ts";

/** What transformers calls a family's module and classes. */
interface PythonNames {
  /** Behind `transformers.models.`, and what its classes begin with. */
  readonly module: string;
  readonly stem: string;
  readonly config: string;
}

const PYTHON_NAMES: Readonly<Record<FamilyName, PythonNames>> = {
  llama: { module: "llama", stem: "Llama", config: "LlamaConfig" },
  mistral: { module: "mistral", stem: "Mistral", config: "MistralConfig" },
  qwen2: { module: "qwen2", stem: "Qwen2", config: "Qwen2Config" },
  qwen3: { module: "qwen3", stem: "Qwen3", config: "Qwen3Config" },
  gemma3: { module: "gemma3", stem: "Gemma3", config: "Gemma3TextConfig" },
};

/** The file's text for a family. */
export function raggedModule(family: FamilyName): string {
  const { module, stem, config } = PYTHON_NAMES[family];
  return `"""${stem} with layers of unlike size: layer i has the heads and the FFN width of layer_widths[i] in config.json.

Written by cusprun. Load with trust_remote_code=True; needs transformers 4.57 or newer and nothing else.
"""

import copy

from transformers import ${config}, ${stem}ForCausalLM
from transformers.models.${module}.modeling_${module} import ${stem}Attention, ${stem}MLP


class ${RAGGED_CONFIG_CLASS}(${config}):
    model_type = "${raggedModelType(family)}"


class ${RAGGED_MODEL_CLASS}(${stem}ForCausalLM):
    config_class = ${RAGGED_CONFIG_CLASS}

    def __init__(self, config):
        super().__init__(config)
        for index, layer in enumerate(self.model.layers):
            sized = copy.deepcopy(config)
            for name, size in config.layer_widths[index].items():
                setattr(sized, name, size)
            layer.self_attn = ${stem}Attention(sized, index)
            # The sizes are in the module now; what may be set later, such as the attention's implementation, is the model's.
            layer.self_attn.config = config
            layer.mlp = ${stem}MLP(sized)
        self.post_init()
`;
}
