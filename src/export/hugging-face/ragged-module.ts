/**
 * @file The Python file written next to the weights of a ragged model (docs/architecture.md, "Layouts"): the family's
 * classes of transformers, with the attention and MLP of each layer built in the layer's own sizes. It requires
 * trust_remote_code, and runs with transformers 4.57 and 5.
 */

import type { Family } from "../../families/family.ts";
import { raggedModelType } from "../../families/index.ts";
import { RAGGED_CONFIG_CLASS, RAGGED_MODEL_CLASS } from "../../checkpoint/config/hf-ragged.ts";

/** The Python source for a family. */
export function raggedModule(family: Family): string {
  const { transformers, deciLM } = family;
  const { module, stem, configClass } = transformers;
  return `"""${stem} with layers of different sizes: layer i has the heads and the FFN width in layer_widths[i] of config.json.

Written by cusprun. Load with trust_remote_code=True; needs transformers 4.57 or newer and nothing else.
"""

import copy
${deciLM === null ? "" : "from types import SimpleNamespace\n"}
from transformers import ${configClass}, ${stem}ForCausalLM
from transformers.models.${module}.modeling_${module} import ${stem}Attention, ${stem}MLP


class ${RAGGED_CONFIG_CLASS}(${configClass}):
    model_type = "${raggedModelType(family)}"
${deciLM === null ? "" : blockConfigs(deciLM.qkvBias)}

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
