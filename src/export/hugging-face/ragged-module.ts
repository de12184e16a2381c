/**
 * @file The Python file beside the weights of a model whose layers differ in size: transformers' own classes of the family, with each
 * layer's attention and MLP built in the layer's own sizes. It runs where remote code is trusted, in transformers 4.57 and 5.
 */

import type { Family } from "../../families/family.ts";
import { raggedModelType } from "../../families/index.ts";
import { RAGGED_CONFIG_CLASS, RAGGED_MODEL_CLASS } from "../../checkpoint/config/hf-ragged.ts";

/** The file's text for a family. */
export function raggedModule(family: Family): string {
  const { transformers, deciLM } = family;
  const { module, stem, configClass } = transformers;
  return `"""${stem} with layers of unlike size: layer i has the heads and the FFN width of layer_widths[i] in config.json.

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
            # The sizes are in the module now; what may be set later, such as the attention's implementation, is the model's.
            layer.self_attn.config = config
            layer.mlp = ${stem}MLP(sized)
        self.post_init()
`;
}

/**
 * The sizes as vLLM's `DeciLMForCausalLM` reads them: of each layer the query heads that share a key, and the FFN width. Query heads are the config's own.
 * Source: `nemotron_nas.py` of vllm-project/vllm; read there, not run.
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
