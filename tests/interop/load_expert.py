"""Loads a folder with stock transformers, without any code of cusprun, and prints the result as one line of JSON.

Usage: load_expert.py FOLDER PROMPT NEW_TOKENS
"""

import json
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, prompt, new_tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.manual_seed(0)
model, loading = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer(prompt, return_tensors="pt")
with torch.no_grad():
    output = model.generate(**inputs, max_new_tokens=new_tokens, do_sample=False)
    loss = model(**inputs, labels=inputs["input_ids"]).loss
print(
    json.dumps(
        {
            "transformers": transformers.__version__,
            "modelClass": type(model).__name__,
            "missingKeys": sorted(loading["missing_keys"]),
            "unexpectedKeys": sorted(loading["unexpected_keys"]),
            "parameters": sum(p.numel() for p in model.parameters()),
            "promptTokens": inputs["input_ids"][0].tolist(),
            "loss": loss.item(),
            "text": tokenizer.decode(output[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True),
            "hasChatTemplate": tokenizer.chat_template is not None,
        }
    )
)
