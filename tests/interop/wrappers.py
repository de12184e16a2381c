"""Tiny multimodal models, and text models without their output head, as stock transformers saves them.

Usage: wrappers.py save HOME IDS CASE...   saves the models, and prints the logits that transformers computes for text
       wrappers.py load HOME IDS FOLDER... loads text models, and prints their logits

A CASE is KIND:TEXT:SPELLING:TIED. KIND is a `model_type`, or `text` for a text model; TEXT the `model_type` of the text
model; TIED `tied` or `untied`. SPELLING of the tensor names: `saved`, as save_pretrained writes them; `nested`, as
transformers 4.52 to 4.57 wrote them; `sparse`, as saved with a text_config that has only what differs from the defaults
of its class, as transformers 4 wrote it; `body`, the model without its output head. One line of JSON is printed.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

SIZES = dict(vocab_size=48, hidden_size=32, intermediate_size=40, num_hidden_layers=3)
SIZES |= dict(num_attention_heads=4, num_key_value_heads=2)
VISION = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)


def make(kind: str, text_type: str, is_tied: bool):
    text = dict(model_type=text_type, head_dim=8, max_position_embeddings=128, initializer_range=0.3, **SIZES)
    if text_type == "gemma3_text":
        text |= dict(sliding_window=8, query_pre_attn_scalar=8)
    if text_type == "mistral":
        text |= dict(sliding_window=None)
    if kind == "text":
        text.pop("model_type")
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(text_type, **text, tie_word_embeddings=is_tied))
    vision = VISION | (dict(image_size=[28, 28], patch_size=[14, 14]) if kind == "internvl" else {})
    extra = dict(mm_tokens_per_image=4) if kind == "gemma3" else {}
    text["tie_word_embeddings"] = is_tied
    config = AutoConfig.for_model(kind, text_config=text, vision_config=vision, tie_word_embeddings=is_tied, **extra)
    return AutoModelForImageTextToText.from_config(config)


def nested(name: str) -> str:
    name = name.replace("language_model.model.", "model.language_model.").replace("language_model.lm_head.", "lm_head.")
    return f"model.{name}" if name.startswith(("vision_tower.", "multi_modal_projector.")) else name


def save(out: Path, case: str, ids: list[int]) -> dict:
    kind, text_type, spelling, tied = case.split(":")
    torch.manual_seed(0)
    model = make(kind, text_type, tied == "tied")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.normal_(0.0 if text_type == "gemma3_text" else 1.0, 0.2)
    (model.model if spelling == "body" else model).save_pretrained(out)
    weights = out / "model.safetensors"
    if spelling == "nested":
        save_file({nested(name): value for name, value in load_file(weights).items()}, weights)
    if spelling == "sparse":
        path = out / "config.json"
        saved = json.loads(path.read_text())
        defaults = AutoConfig.for_model(text_type).to_dict()
        kept = {k: v for k, v in saved["text_config"].items() if k == "model_type" or v != defaults.get(k)}
        saved["text_config"] = {k: v for k, v in kept.items() if k != "transformers_version"}
        if tied != "tied":
            saved.pop("tie_word_embeddings")
            saved["text_config"].pop("tie_word_embeddings", None)
        path.write_text(json.dumps(saved))
    loader = AutoModelForCausalLM if kind == "text" else type(model)
    model, info = loader.from_pretrained(out, output_loading_info=True)
    return {"missing": sorted(info["missing_keys"]), "names": sorted(load_file(weights)), "logits": logits_of(model, ids)}


def logits_of(model, ids: list[int]) -> list[float]:
    with torch.no_grad():
        return model.eval()(torch.tensor([ids])).logits[0].float().flatten().tolist()


def load(folder: Path, ids: list[int]) -> dict:
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    keys = sorted(info["missing_keys"]) + sorted(info["unexpected_keys"])
    return {"modelClass": type(model).__name__, "keys": keys, "logits": logits_of(model, ids)}


action, home, id_list = sys.argv[1:4]
chosen = [int(i) for i in id_list.split(",")]
run = {
    "save": lambda name: save(Path(home) / name.replace(":", "-"), name, chosen),
    "load": lambda name: load(Path(home) / name, chosen),
}
print(json.dumps({name: run[action](name) for name in sys.argv[4:]}))
