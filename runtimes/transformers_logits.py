"""Runs one folder in stock transformers: python -I transformers_logits.py REQUEST.

REQUEST is the JSON of `RuntimeRequest` with `logitsPath`, the file to which logits are written as f32, [T, V]. The
arithmetic is float32. Missing, unexpected or mismatched tensors are errors: transformers would fill them with noise. The
answer is the last line of the output.
"""

import json
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    request = json.loads(sys.argv[1])
    folder, ids, trust = request["path"], request["ids"], request["trustRemoteCode"]
    # Loaded in f32: in bfloat16, Gemma's embedding scale would be rounded too.
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, trust_remote_code=trust
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if info.get(kind):
            raise SystemExit(f"{kind}: {sorted(map(str, info[kind]))[:3]}")
    prompt = torch.tensor([ids])
    with torch.no_grad():
        logits = model(prompt).logits[0].float().contiguous()
        generated = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=request["newTokens"], do_sample=False, pad_token_id=0
        )
    logits.numpy().tofile(request["logitsPath"])
    text_ids = None
    if request["text"] is not None:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
        text_ids = tokenizer(request["text"], add_special_tokens=False).input_ids
    print(
        json.dumps(
            {
                "version": f"transformers {transformers.__version__}",
                "vocabSize": logits.shape[1],
                "continuation": generated[0, len(ids) :].tolist(),
                "textIds": text_ids,
            }
        )
    )


if __name__ == "__main__":
    main()
