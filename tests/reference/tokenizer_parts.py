"""Parts of a tokenizer.json for make_tokenizer_goldens.py, by what is special about them."""

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def added(content: str, **flags) -> dict:
    return {
        "id": None,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    } | flags


def plain(content: str, **flags) -> dict:
    return added(content, normalized=True, special=False, **flags)


def split(pattern: str, behavior: str = "Isolated", invert: bool = False, kind: str = "Regex") -> dict:
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def then_bytes(*parts: dict, **options) -> dict:
    return {
        "type": "Sequence",
        "pretokenizers": [
            *parts,
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False} | options,
        ],
    }


def metaspace(scheme: str, **options) -> dict:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False} | options


def template(pieces: list[str], tokens: dict[str, list[int]]) -> dict:
    single = [
        {"Sequence": {"id": "A", "type_id": 0}} if piece == "A" else {"SpecialToken": {"id": piece, "type_id": 0}}
        for piece in pieces
    ]
    names = {1: "<s>", 2: "</s>"}
    special = {name: {"id": name, "ids": ids, "tokens": [names[id] for id in ids]} for name, ids in tokens.items()}
    return {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special}


PRE = {
    "words of GPT-2": then_bytes(use_regex=True),
    "no words": then_bytes(),
    "a prefix space": then_bytes(use_regex=True, add_prefix_space=True),
    "Llama 3": then_bytes(split(LLAMA3)),
    "Qwen": then_bytes(split(LLAMA3.replace("{1,3}", ""))),
    "Tekken": then_bytes(split(TEKKEN)),
    "DeepSeek": then_bytes(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK)),
    "digits one by one": then_bytes({"type": "Digits", "individual_digits": True}, use_regex=True),
    "digits together": then_bytes({"type": "Digits", "individual_digits": False}),
    "contiguous punctuation": then_bytes({"type": "Punctuation", "behavior": "Contiguous"}),
    "isolated punctuation": then_bytes({"type": "Punctuation", "behavior": "Isolated"}),
    "Falcon": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Punctuation", "behavior": "Contiguous"},
            *then_bytes(use_regex=True)["pretokenizers"],
            {"type": "Digits", "individual_digits": False},
            split("[0-9][0-9][0-9]"),
        ],
    },
    "an inverted split": then_bytes(split(GPT2, "Removed", True)),
    "a removing split": then_bytes(split(r"\s", "Removed")),
    "a removing string": then_bytes(split(" ", "Removed", kind="String")),
    "an isolated string": then_bytes(split(" ", kind="String")),
    "merged with previous": then_bytes(split(r"\s", "MergedWithPrevious")),
    "merged with next": then_bytes(split(r"\s", "MergedWithNext")),
    "a contiguous split": then_bytes(split(r"\s", "Contiguous")),
    "an isolating inverted split": then_bytes(split(r"\p{L}+", "Isolated", True)),
    "white space": then_bytes({"type": "Whitespace"}),
    "a split at white space": then_bytes({"type": "WhitespaceSplit"}),
    "BERT's words": then_bytes({"type": "BertPreTokenizer"}),
    "pieces of a fixed length": then_bytes({"type": "FixedLength", "length": 3}),
    "scripts": then_bytes({"type": "UnicodeScripts"}),
    "a delimiter": then_bytes({"type": "CharDelimiterSplit", "delimiter": " "}),
    "possessive quantifiers": then_bytes(split(r"\p{L}++\w|\p{N}+")),
    "an atomic group": then_bytes(split(r"(?>\p{L}+)a|.")),
    "a flag": then_bytes(split("(?i)the|hello")),
    "a POSIX class": then_bytes(split("[[:punct:]]+")),
    "an intersection": then_bytes(split(r"[\p{L}&&[^a-z]]+")),
    "an empty match": then_bytes(split("a*")),
    "a lazy interval": then_bytes(split("a{2}?b")),
    "a back-reference": then_bytes(split(r"(.)\1")),
    "a caseless ligature": then_bytes(split("(?i:fi|st)")),
    "a caseless k": then_bytes(split("(?i:k|h)e?")),
    "anchors": then_bytes(split(r"^a|c$|\bthe\b")),
    "lookarounds": then_bytes(split(r"(?<=a)b|(?<!\s)\d|x(?=y)")),
    "a script": then_bytes(split(r"\p{Han}+|\p{Hiragana}")),
    "lazy": then_bytes(split(r"a.*?c")),
    "a POSIX property": then_bytes(split(r"\p{Punct}+")),
}

NORMALIZERS = {
    "NFC": {"type": "NFC"},
    "NFD": {"type": "NFD"},
    "NFKC": {"type": "NFKC"},
    "lower case": {"type": "Lowercase"},
    "stripped": {"type": "Strip", "strip_left": True, "strip_right": True},
    "no accents": {"type": "StripAccents"},
    "replaced text": {"type": "Replace", "pattern": {"String": "a"}, "content": "b"},
    "a dollar": {"type": "Replace", "pattern": {"String": "a"}, "content": "$&x"},
    "replaced pattern": {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
    "a prefix": {"type": "Prepend", "prepend": "x"},
    "BERT": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "NMT": {"type": "Nmt"},
    "bytes": {"type": "ByteLevel"},
    "a sequence": {
        "type": "Sequence",
        "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"String": "  "}, "content": " "}],
    },
}

ADDED = {
    "plain": [added("<mask>")],
    "lstrip": [added("<mask>", lstrip=True)],
    "rstrip": [added("<mask>", rstrip=True)],
    "both": [added("<mask>", lstrip=True, rstrip=True)],
    "single word": [added("word", single_word=True)],
    "normalized": [plain("word"), added("<mask>")],
    "in others": [added("foo"), added("foobar"), added("bar")],
    "raw in normalized": [added("bar"), plain("foobar")],
    "stripping space": [added("<mask>", lstrip=True), added(" ")],
    "normalized, lstrip": [plain("word", lstrip=True)],
    "spaces": [added("  ")],
    "known": [added("<s>")],
    "a wrong id": [added("<mask>", id=5)],
    "an id far away": [added("<mask>", id=5000)],
    "two words": [plain("foo bar")],
    "newlines": [added("\n\n", special=False)],
}
