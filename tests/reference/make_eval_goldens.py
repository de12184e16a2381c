"""Makes the goldens of evaluation with EleutherAI's lm-evaluation-harness, on a GGUF file in f32.

usage: make_eval_goldens.py NAME MODEL.gguf DATA
NAME is smollm2 or gemma3; DATA is the folder with the evaluation files (eval/dev).
Writes tests/fixtures/real/eval-NAME.json: ids and numbers, but no texts, since some of the sources are share-alike.
Requires the packages of requirements.txt and lm_eval==0.4.13, in a separate environment.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

FIXTURES = Path(__file__).parent.parent / "fixtures" / "real"
# Number of items per multiple choice task, the tasks, and the texts. Law articles fit one window, encyclopedia pages
# need several. Gemma's tokenizer adds BOS; the harness then predicts a second BOS in texts, so texts are omitted for
# it.
TASKS = {
    "smollm2": (40, ["mc_arc_easy_en", "mc_openbookqa_en"], ["ppl_law_de", "ppl_wikitext2_en"]),
    "gemma3": (12, ["mc_openbookqa_en", "mc_xcopa_zh"], []),
}
DOCUMENTS = 2
MAX_LENGTH = 1024
COMMON = dict(dataset_path="json", test_split="train", num_fewshot=0, metadata={"version": 1})


def file_of(data, name):
    return dict(dataset_kwargs={"data_files": str(Path(data) / f"{name}.jsonl")}, task=name)


def multiple_choice(data, name):
    return ConfigurableTask(config=dict(
        **COMMON, **file_of(data, name), output_type="multiple_choice", doc_to_text="{{context}}", doc_to_choice="{{choices}}",
        doc_to_target="{{answer}}", metric_list=[dict(metric=metric, aggregation="mean", higher_is_better=True)
                                                 for metric in ("acc", "acc_norm")]))


def perplexity(data, name):
    return ConfigurableTask(config=dict(
        **COMMON, **file_of(data, name), output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="{{text}}",
        metric_list=[dict(metric="bits_per_byte")]))


def main(model_name, model_path, data):
    count, multiple_choice_names, perplexity_names = TASKS[model_name]
    folder, file = str(Path(model_path).parent), Path(model_path).name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    if model_name == "smollm2":
        # transformers omits the split at digits when it reads this GGUF file ("\n\n20" becomes two newline tokens
        # instead of one token for both); SmolLM2's own tokenizer.json and llama.cpp have it.
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    lm = HFLM(pretrained=model, tokenizer=tokenizer, max_length=MAX_LENGTH, batch_size=8, device="cpu")
    goldens = {"versions": {name: version(name) for name in ("lm_eval", "transformers", "torch")}, "file": file,
               "maxLength": MAX_LENGTH, "multipleChoice": {}, "perplexity": {}}
    for name in multiple_choice_names + perplexity_names:
        is_choice = name in multiple_choice_names
        task = (multiple_choice if is_choice else perplexity)(data, name)
        outcome = simple_evaluate(lm, tasks=[task], limit=count if is_choice else DOCUMENTS, bootstrap_iters=10)
        figures, samples = outcome["results"][name], outcome["samples"][name]
        if is_choice:
            goldens["multipleChoice"][name] = {
                "acc": figures["acc,none"], "accStderr": figures["acc_stderr,none"], "accNorm": figures["acc_norm,none"],
                "items": [{"id": sample["doc"]["id"], "logLikelihoods": [float(reply[0][0]) for reply in sample["resps"]]}
                          for sample in samples]}
        else:
            goldens["perplexity"][name] = {
                "bitsPerByte": figures["bits_per_byte,none"],
                "items": [{"id": sample["doc"]["id"], "logLikelihood": float(sample["resps"][0][0])} for sample in samples]}
        print(name, {key: value for key, value in figures.items() if "," in key})
    (FIXTURES / f"eval-{model_name}.json").write_text(json.dumps(goldens, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
