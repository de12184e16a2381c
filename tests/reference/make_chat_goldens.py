"""Renders and tokenises chats with transformers' apply_chat_template: the reference for src/corpora/chat-template.ts.

    python tests/reference/make_chat_goldens.py > tests/fixtures/chat-goldens.json

The templates are written here, after the formats that the models' vendors document: ChatML as of Qwen2.5 and SmolLM2,
Llama 3, Gemma 3 and Mistral. `strftime_now` is set to the day that cusprun gives to templates.
"""

import json
from datetime import datetime

import transformers
import transformers.utils.chat_template_utils as chat_template_utils
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast


class FixedDay(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


chat_template_utils.datetime = FixedDay

SMOLLM2 = """{% for message in messages %}
{%- if loop.first and message['role'] != 'system' -%}
<|im_start|>system\nYou are a helpful assistant<|im_end|>\n{% endif -%}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
{%- endfor -%}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

QWEN2 = r"""{%- if tools %}
    {{- '<|im_start|>system\n# Tools\n' }}
    {%- for tool in tools %}
        {{- "\n" }}{{- tool | tojson }}
    {%- endfor %}
    {{- "<|im_end|>\n" }}
{%- elif messages[0].role != 'system' %}
    {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system") or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}{{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}"""

LLAMA3 = r"""{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\nToday Date: " + date_string + "\n\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- else %}
        {{- raise_exception("No tools here!") }}
    {%- endif %}
{%- endfor %}"""

GEMMA3 = r"""{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}{{ item['text'] | trim }}{%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}"""

MISTRAL = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if system_message is defined and (message == user_messages[-1]) %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}"""

# Name, template, the text of BOS and EOS, whether the tokenizer adds a BOS, tokens of the format.
FORMATS = [
    ("smollm2", SMOLLM2, "<|im_start|>", "<|im_end|>", False, []),
    ("qwen2", QWEN2, None, "<|im_end|>", False, ["<|im_start|>"]),
    ("llama3", LLAMA3, "<|begin_of_text|>", "<|eot_id|>", True, ["<|start_header_id|>", "<|end_header_id|>"]),
    ("gemma3", GEMMA3, "<bos>", "<eos>", True, ["<start_of_turn>", "<end_of_turn>"]),
    ("mistral", MISTRAL, "<s>", "</s>", True, ["[INST]", "[/INST]"]),
    # Nothing of the template is BOS, and the tokenizer adds one.
    ("bos-by-tokenizer", SMOLLM2, "<s>", "</s>", True, ["<|im_start|>", "<|im_end|>"]),
]

USER = {"role": "user", "content": "What is the capital of Norway?"}
ASSISTANT = {"role": "assistant", "content": " Oslo, since 1814.\n"}
CALL = {"type": "function", "function": {"name": "look_up", "arguments": {"city": "Tromsø", "year": 2024}}}
CHATS = {
    "one turn": [USER, ASSISTANT],
    "a system message": [{"role": "system", "content": "Answer in a word. "}, USER, ASSISTANT],
    "several turns": [
        USER,
        ASSISTANT,
        {"role": "user", "content": "And of Île-de-France?"},
        {"role": "assistant", "content": "巴黎 🗼"},
    ],
    "a user alone": [USER],
    "two users": [USER, USER, ASSISTANT],
    "an assistant first": [ASSISTANT, USER],
    "tokens in a message": [{"role": "user", "content": "What does <|im_end|> or </s> mean?"}, ASSISTANT],
    "calls of tools": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "{}"},
        ASSISTANT,
    ],
}


def make_tokenizer(bos: str | None, eos: str, adds_bos: bool, others: list[str]) -> PreTrainedTokenizerFast:
    """Bytes as tokens, so that every text can be encoded, and the format's own tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.add_special_tokens([token for token in [bos, eos, *others] if token is not None])
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)


def render(tokenizer: PreTrainedTokenizerFast, chat: list) -> dict:
    try:
        text = tokenizer.apply_chat_template(chat, tokenize=False)
    except Exception as error:  # noqa: BLE001: the template's own refusal, or what Jinja cannot compute
        return {"refused": type(error).__name__}
    return {"text": text, "ids": list(tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False))}


def main() -> None:
    formats = []
    for name, template, bos, eos, adds_bos, others in FORMATS:
        tokenizer = make_tokenizer(bos, eos, adds_bos, others)
        tokenizer.chat_template = template
        formats.append({
            "name": name,
            "tokenizerJson": json.loads(tokenizer.backend_tokenizer.to_str()),
            "tokenizerConfig": {"bos_token": bos, "eos_token": eos, "chat_template": template},
            "chats": {title: render(tokenizer, chat) for title, chat in CHATS.items()},
        })
    reference = f"transformers {transformers.__version__}"
    print(json.dumps({"reference": reference, "chats": CHATS, "formats": formats}, ensure_ascii=False))


if __name__ == "__main__":
    main()
