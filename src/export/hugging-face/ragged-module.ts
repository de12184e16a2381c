/**
 * @file The Python file written next to the weights of a ragged model (docs/architecture.md, "Layouts"): the family's
 * classes of transformers, with the attention and MLP of each layer built in the layer's own sizes. It requires
 * trust_remote_code, and runs with transformers 4.57 and 5.
 */

import type { FamilyName } from "../../families/families.ts";
import { RAGGED_CONFIG_CLASS, RAGGED_MODEL_CLASS, raggedModelType } from "../../checkpoint/config/hf-ragged.ts";

/** The names of a family's module and classes in transformers. */
interface PythonNames {
  /** Module name after `transformers.models.`, and prefix of its classes. */
  readonly module: string;
  readonly stem: string;
  readonly config: string;
  /**
   * Settings with which vLLM's `DeciLMForCausalLM`, a Llama with separate sizes per layer, computes the same; null if
   * it cannot.
   */
  readonly deci: { readonly qkvBias: boolean } | null;
}

const PYTHON_NAMES: Readonly<Record<FamilyName, PythonNames>> = {
  llama: { module: "llama", stem: "Llama", config: "LlamaConfig", deci: { qkvBias: false } },
  mistral: { module: "mistral", stem: "Mistral", config: "MistralConfig", deci: { qkvBias: false } },
  qwen2: { module: "qwen2", stem: "Qwen2", config: "Qwen2Config", deci: { qkvBias: true } },
  qwen3: { module: "qwen3", stem: "Qwen3", config: "Qwen3Config", deci: null },
  gemma3: { module: "gemma3", stem: "Gemma3", config: "Gemma3TextConfig", deci: null },
};

/** The Python source for a family. */
export function raggedModule(family: FamilyName): string {
  const { module, stem, config, deci } = PYTHON_NAMES[family];
  return `"""${stem} with layers of different sizes: layer i has the heads and the FFN width in layer_widths[i] of config.json.

Written by cusprun. Load with trust_remote_code=True; needs transformers 4.57 or newer and nothing else.
"""

import copy
${deci === null ? "" : "from types import SimpleNamespace\n"}
from transformers import ${config}, ${stem}ForCausalLM
from transformers.models.${module}.modeling_${module} import ${stem}Attention, ${stem}MLP


class ${RAGGED_CONFIG_CLASS}(${config}):
    model_type = "${raggedModelType(family)}"
${deci === null ? "" : blockConfigs(deci.qkvBias)}

class ${RAGGED_MODEL_CLASS}(${stem}ForCausalLM):
    config_class = ${RAGGED_CONFIG_CLASS}

    def __init__(self, config):
        super().__init__(config)
        for index, layer in enumerate(self.model.layers):
            sized = copy.deepcopy(config)
            for name, size in config.layer_widths[index].items():
                setattr(sized, name, size)
            layer.self_attn = ${stem}Attention(sized, index)
            # The module has its sizes; settings changed later, such as the attention implementation, are the model's.
            layer.self_attn.config = config
            layer.mlp = ${stem}MLP(sized)
        self.post_init()
`;
}

/**
 * The sizes in the form that vLLM's `DeciLMForCausalLM` reads: the number of query heads per KV group and the FFN width
 * of each layer. The number of query heads is that of the config. Source: `nemotron_nas.py` of vllm-project/vllm; based
 * on its source, not tested.
 */
function blockConfigs(qkvBias: boolean): string {
  return `${qkvBias ? "    qkv_bias = True\n" : ""}
    @property
    def block_configs(self):
        """For vLLM, with --hf-overrides '{"architectures": ["DeciLMForCausalLM"]}'."""
        if getattr(self, "sliding_window", None) and getattr(self, "use_sliding_window", True):
            raise ValueError("DeciLMForCausalLM has no sliding window")
        heads = self.num_attention_heads
        blocks = []
        for width in self.layer_widths:
            found = width["num_attention_heads"]
            if found != heads:
                raise ValueError(f"DeciLMForCausalLM has {heads} query heads in every layer, this model {found} in one")
            attention = SimpleNamespace(no_op=False, n_heads_in_group=heads // width["num_key_value_heads"])
            ffn = SimpleNamespace(no_op=False, intermediate_size=width["intermediate_size"])
            blocks.append(SimpleNamespace(attention=attention, ffn=ffn))
        return blocks
`;
}
