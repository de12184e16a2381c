"""Goldens for kinds of tokenizers: small ones in which every part of a tokenizer.json varies, and what tokenizers yields.

    python tests/reference/make_tokenizer_goldens.py > tests/fixtures/tokenizers/kinds.json

A kind is a base with some parts replaced. `sha256` covers the ids of all texts; null if tokenizers refuses the kind too.
"""

import copy
import hashlib
import json
import random
import struct
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tokenizer_parts import ADDED, NORMALIZERS, PRE, added, metaspace, plain, split, template

ROOT = Path(__file__).parent.parent.parent
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TEXTS = [
    "",
    "a",
    " a",
    "a ",
    "  a  b   c    ",
    "\n",
    "\n\na\r\nb\tc\x0b\x0cd \n e",
    "a\x00b\x01\x07\x1b[0m\x7f",
    "x\x85y \x85z",
    "\u00a0a\u2003b\u3000c\u2028d\u2029e\u1680f",
    "a\ufeff b\ufeff\ufeff!!\u200bc\u200dd\u2060e\u00adf",
    "12 345,678.90 3e-10",
    "\u0663\u0664 \u0967\u0968 \uff14\uff15 \u00b2\u00b3\u00b9 \u00bd \u2167 \u2460",
    "don't I'll WE'RE you'VE it'S 'd 'M x'ſt 'ſ ’s",
    "e\u0301 é n\u0303 \u1e9b\u0323 ﬁ \u212b a\u0300\u0301 \u0301x",
    "क्षत्रिय नमस्ते ไทยภาษา မြန်မာ 한국어 \u1100\u1161\u11a8",
    "日本語テキスト、漢字。ｶﾞ 中文,字符。",
    "العربية abc עברית 123",
    "ß ẞ İ ı ǅ ſ Σς ŉ K",
    "👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️ \U00020000\U0010ffff \ufffd\ufffda",
    "def f(x):\n    return {'a': [1]}  # b\n\n\n\tif x: pass",
    "http://a.b/c?d=%20#e $&$1 \\n",
    "<s>a</s> b <mask>c <mask> d  <mask>",
    "<mask><mask> <s>",
    "xword y word word. wordy",
    "foo bar foobar FOO",
    "▁a ▁▁ b▁",
    "<0x41><0x0A><unk>a<unk>",
    "x" * 60,
    " " * 40,
    "\n" * 12,
    "\t" * 9,
    "ab" * 30,
    "你" * 20,
    "!!!???...--- $+<=>^`|~ «»„“—…",
    "A_b-C_D camelCase HTTPServer",
    "HELLO Hello hello hELLO the The THE",
    "ΑΣ ΑΣ.",
    "thezZthe z Z",
]
POOLS = [
    (32, 126),
    (0, 31),
    (160, 255),
    (0x300, 0x36F),
    (0x400, 0x4FF),
    (0x600, 0x6FF),
    (0x900, 0x97F),
    (0x2000, 0x206F),
    (0x3000, 0x30FF),
    (0x4E00, 0x4EFF),
    (0xFE00, 0xFFEF),
    (0x1F300, 0x1F64F),
]


def random_texts(count: int) -> list[str]:
    source = random.Random(1)
    texts = []
    for _ in range(count):
        pools = [source.choice(POOLS) for _ in range(source.randint(1, 3))]
        pieces = [
            (
                chr(source.randint(*source.choice(pools)))
                if source.random() > 0.2
                else source.choice([" ", "  ", "\n", " a", "the"])
            )
            for _ in range(source.randint(1, 24))
        ]
        texts.append("".join(pieces))
    return texts


def corpus() -> list[str]:
    lines = [
        line
        for path in sorted((ROOT / "presets").glob("*/*.jsonl"))
        for line in path.read_text(encoding="utf-8").split("\n")[:20]
        if line
    ]
    return [json.loads(line).get("text", "")[:400] for line in lines] + [text * 3 for text in TEXTS]


def train(model, trainer, pre_tokenizer) -> dict:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(TRAINING, trainer)
    return json.loads(tokenizer.to_str())


TRAINING = corpus()
TEXTS += random_texts(150)
quiet = {"special_tokens": SPECIAL, "show_progress": False}
# Without words, tokens cross the places that a pre-tokenizer splits at, and a wrong split shows.
NO_WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
UNSPLIT = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
BYTE_LEVEL = train(
    models.BPE(),
    trainers.BpeTrainer(vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **quiet),
    NO_WORDS,
)
SENTENCE_PIECE = train(
    models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
    trainers.BpeTrainer(vocab_size=1000, limit_alphabet=200, **{**quiet, "special_tokens": SPECIAL + BYTES}),
    UNSPLIT,
)
SENTENCE_PIECE["added_tokens"] = SENTENCE_PIECE["added_tokens"][:3]
CHARACTERS = train(
    models.BPE(unk_token="<unk>"), trainers.BpeTrainer(vocab_size=500, limit_alphabet=150, **quiet), UNSPLIT
)
TRAINING = [text for text in TRAINING if text.isascii()]
UNIGRAM = train(models.Unigram(), trainers.UnigramTrainer(vocab_size=500, unk_token="<unk>", **quiet), UNSPLIT)
WORD_PIECE = train(
    models.WordPiece(unk_token="<unk>"),
    trainers.WordPieceTrainer(vocab_size=400, **quiet),
    pre_tokenizers.BertPreTokenizer(),
)
REPLACE_MARK = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
SP_DECODER = {
    "type": "Sequence",
    "decoders": [
        REPLACE_MARK,
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}
MARK_SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
SENTENCE_PIECE |= {
    "pre_tokenizer": None,
    "decoder": SP_DECODER,
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, MARK_SPACES]},
}
BYTE_LEVEL["decoder"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
BASES = {
    "bytes": BYTE_LEVEL,
    "sp": SENTENCE_PIECE,
    "characters": CHARACTERS,
    "unigram": UNIGRAM,
    "wordpiece": WORD_PIECE,
}
KINDS: list[dict] = []


def kind(name: str, base: str, **parts) -> None:
    whole = copy.deepcopy(BASES[base])
    whole["model"] |= parts.get("model", {})
    vocab, last = whole["model"]["vocab"], -1
    for token in parts.get("added_tokens", []):
        if token["id"] is None:
            token["id"] = vocab.get(token["content"], max(len(vocab), last + 1))
            last = max(last, token["id"])
    whole["added_tokens"] = whole["added_tokens"] + parts.get("added_tokens", [])
    whole |= {key: value for key, value in parts.items() if key not in ("model", "added_tokens")}
    try:
        tokenizer = Tokenizer.from_str(json.dumps(whole))
        digest = hashlib.sha256()
        for text in TEXTS:
            ids = tokenizer.encode(text).ids
            digest.update(struct.pack(f"<{len(ids) + 1}i", len(ids), *ids))
        KINDS.append({"name": name, "base": base, "parts": parts, "sha256": digest.hexdigest()})
    except BaseException:  # a panic of Rust is no Exception
        KINDS.append({"name": name, "base": base, "parts": parts, "sha256": None})


for name, value in PRE.items():
    kind(f"pre-tokenizer: {name}", "bytes", pre_tokenizer=value)
for name, value in NORMALIZERS.items():
    kind(f"normalizer: {name}", "bytes", normalizer=value)
for name, value in {
    "ignored merges": {"ignore_merges": True},
    "no dropout": {"dropout": 0.0},
    "dropout": {"dropout": 0.5},
    "a suffix": {"end_of_word_suffix": "</w>"},
    "a prefix": {"continuing_subword_prefix": "##"},
    "an empty suffix": {"end_of_word_suffix": ""},
}.items():
    kind(f"model: {name}", "bytes", model=value)


def without(base: str, *tokens: str) -> dict:
    model = BASES[base]["model"]
    vocab = {text: id for text, id in model["vocab"].items() if not any(token in text for token in tokens)}
    return {"vocab": vocab, "merges": [[left, right] for left, right in model["merges"] if left + right in vocab]}


kind("model: absent bytes", "bytes", model=without("bytes", "z", "Š"))
kind("model: absent bytes, ignored merges", "bytes", model=without("bytes", "z", "Š") | {"ignore_merges": True})
kind("model: absent bytes, an unknown token", "bytes", model=without("bytes", "z", "Š") | {"unk_token": "<unk>"})
kind(
    "model: absent bytes, fused unknown tokens",
    "bytes",
    model=without("bytes", "z", "Š") | {"unk_token": "<unk>", "fuse_unk": True},
)
for base in ("bytes", "sp"):
    for name, value in ADDED.items():
        kind(f"added tokens: {name}, {base}", base, added_tokens=copy.deepcopy(value))
kind("added tokens: composed", "bytes", normalizer={"type": "NFC"}, added_tokens=[plain("e\u0301")])
kind("sp: a prefix by the normalizer", "sp")
for scheme in ("first", "always", "never"):
    for name, options in {"": {}, ", split": {"split": True}}.items():
        kind(f"sp: Metaspace {scheme}{name}", "sp", normalizer=None, pre_tokenizer=metaspace(scheme, **options))
        kind(
            f"sp: Metaspace {scheme}{name}, normalized tokens",
            "sp",
            normalizer=None,
            pre_tokenizer=metaspace(scheme, **options),
            added_tokens=[plain("word")],
        )
kind(
    "sp: older Metaspace",
    "sp",
    normalizer=None,
    pre_tokenizer={"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
)
kind(
    "sp: older Metaspace without a prefix",
    "sp",
    normalizer=None,
    pre_tokenizer={"type": "Metaspace", "replacement": "▁", "add_prefix_space": False},
)
kind("sp: Gemma", "sp", normalizer=MARK_SPACES, pre_tokenizer=split(" ", "MergedWithPrevious", kind="String"))
for name, value in {
    "unfused": {"fuse_unk": False},
    "no byte fallback": {"byte_fallback": False},
    "no unknown token": {"unk_token": None},
    "ignored merges": {"ignore_merges": True},
    "an absent byte": without("sp", "<0xC3>"),
    "no byte fallback, no unknown token": {"byte_fallback": False, "unk_token": None},
}.items():
    kind(f"sp: {name}", "sp", model=value)
kind("characters", "characters")
kind("characters: fused", "characters", model={"fuse_unk": True})
kind("characters: no unknown token", "characters", model={"unk_token": None})
kind("unigram", "unigram")
kind("unigram: split", "unigram", pre_tokenizer=metaspace("always", split=True))
kind("characters: fused, words", "characters", model={"fuse_unk": True}, pre_tokenizer=split(r"\S+"))
kind("characters: words", "characters", pre_tokenizer=split(r"\S+"))
kind(
    "characters: whole words", "characters", model={"ignore_merges": True}, pre_tokenizer=split(r"\S+", "Removed", True)
)
kind("unigram: words", "unigram", pre_tokenizer=split(r"\S+"))
kind(
    "unigram: byte fallback",
    "unigram",
    model={"byte_fallback": True, "vocab": UNIGRAM["model"]["vocab"] + [[byte, -10.0] for byte in BYTES]},
)
kind(
    "unigram: bytes without fallback",
    "unigram",
    model={"vocab": UNIGRAM["model"]["vocab"] + [[byte, -10.0] for byte in BYTES]},
)
kind("unigram: no unknown token", "unigram", model={"unk_id": None})
kind("wordpiece", "wordpiece")
bos = template(["<s>", "A"], {"<s>": [1]})
kind("post-processor: BOS", "bytes", post_processor=bos)
kind("post-processor: BOS and EOS", "bytes", post_processor=template(["<s>", "A", "</s>"], {"<s>": [1], "</s>": [2]}))
kind(
    "post-processor: a sequence",
    "bytes",
    post_processor={
        "type": "Sequence",
        "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, bos],
    },
)
kind("post-processor: two ids", "bytes", post_processor=template(["<s>", "A"], {"<s>": [1, 2]}))
kind("post-processor: another name", "bytes", post_processor=template(["BOS", "A"], {"BOS": [1]}))
kind("post-processor: another id", "bytes", post_processor=template(["<s>", "A"], {"<s>": [2]}))
kind("post-processor: BERT", "bytes", post_processor={"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]})
print(
    json.dumps(
        {"tokenizers": tokenizers.__version__, "texts": TEXTS, "bases": BASES, "kinds": KINDS}, ensure_ascii=False
    )
)
