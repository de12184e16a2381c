"""Tokenises the texts of the goldens in tests/fixtures/tokenizers with Rust tokenizers and transformers' AutoTokenizer.

    python tests/reference/check_tokenizers.py FOLDER GOLDEN [DATA]

FOLDER contains the tokenizer.json and tokenizer_config.json written by cusprun, GOLDEN is the result of llama.cpp, DATA is
the shared data (without it, only the presets are compared). Prints one JSON object: versions, numbers of comparisons, and
the strings and files that differ.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import tokenizers
import transformers

ROOT = Path(__file__).parent.parent.parent
FIELDS = ("text", "context", "prompt", "choices")


def texts_of(path: Path) -> list[str]:
    texts = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line == "":
            continue
        record = json.loads(line)
        for field in FIELDS:
            value = record.get(field, [])
            texts += [text for text in ([value] if isinstance(value, str) else value) if text != ""]
    return texts


def digest(ids_of_texts: list[list[int]]) -> str:
    digest = hashlib.sha256()
    for ids in ids_of_texts:
        digest.update(np.array([len(ids), *ids], dtype="<i4").tobytes())
    return digest.hexdigest()


def main() -> None:
    folder, golden = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    data = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    rust = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    auto = transformers.AutoTokenizer.from_pretrained(str(folder))
    encoders = {
        "tokenizers": lambda texts: [encoding.ids for encoding in rust.encode_batch(texts)],
        "AutoTokenizer": lambda texts: auto(texts)["input_ids"],
    }
    report = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__, "class": type(auto).__name__}
    report |= {"strings": 0, "files": 0, "tokens": 0, "differences": []}
    for name, encode in encoders.items():
        for item in golden["strings"]:
            # Python cannot pass unpaired surrogates to Rust; everywhere else they become U+FFFD.
            text = item["text"].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            found = encode([text])[0] if text != "" else encode(["", "a"])[0]
            expected = golden["prefix"] + item["ids"] + golden["suffix"]
            report["strings"] += 1
            if found != expected:
                report["differences"].append({"by": name, "text": item["text"], "found": found, "expected": expected})
        for file, expected in golden["files"].items():
            path = ROOT / file if file.startswith("presets/") else data and data / file
            if path is None or not path.exists():
                continue
            prefix = len(golden["prefix"])
            ids = [row[prefix:] for row in encode(texts_of(path))]
            report["files"] += 1
            report["tokens"] += sum(map(len, ids))
            if digest(ids) != expected["sha256"]:
                report["differences"].append({"by": name, "file": file})
    print(json.dumps(report))


if __name__ == "__main__":
    main()
