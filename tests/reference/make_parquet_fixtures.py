"""Writes tests/fixtures/parquet/*.parquet and their expected contents, with pyarrow as the reference.

    python tests/reference/make_parquet_fixtures.py
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).parent.parent / "fixtures" / "parquet"
TEXTS = [
    "The first document, in English.",
    "Ein zweites, mit Umlauten: äöüß.",
    None,
    "第三篇文档。",
    "",
    "emoji 😀 and\nline ends",
    "The first document, in English.",
]
FILES = {
    "snappy": {"compression": "snappy"},
    "gzip": {"compression": "gzip", "data_page_version": "2.0"},
    "brotli": {"compression": "brotli", "use_dictionary": False},
    "none": {"compression": "none", "column_encoding": {"body": "DELTA_BYTE_ARRAY"}, "use_dictionary": False},
    "zstd": {"compression": "zstd"},
    "lengths": {"column_encoding": {"body": "DELTA_LENGTH_BYTE_ARRAY"}, "use_dictionary": False, "data_page_version": "2.0"},
}



MESSAGES = [
    [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine, thanks."}],
    [{"role": "user", "content": "Grüße"}],
    None,
    [],
    [{"role": "user", "content": None}, {"role": None, "content": ""}, None],
]
PARTS = [["one", "two"], [], None, ["three", None], ["four"]]
ANSWERS = ["Oslo", None, "Bergen", "", "Ås"]


def write_nested() -> None:
    message = pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int64())])
    many = 50
    table = pa.table(
        {
            "id": pa.array(range(len(MESSAGES) * many), pa.int64()),
            "messages": pa.array(MESSAGES * many, pa.list_(message)),
            "parts": pa.array(PARTS * many, pa.list_(pa.string())),
            "question": pa.array([f"Question {i}?" for i in range(len(ANSWERS) * many)]),
            "answer": pa.array(ANSWERS * many),
        }
    )
    # Pages of some values, so that rows begin in the middle of a page and lists continue in the next one.
    small = {"row_group_size": 60, "data_page_size": 64, "write_batch_size": 7}
    pq.write_table(table, OUT / "nested-1.parquet", **small)
    pq.write_table(table, OUT / "nested-2.parquet", data_page_version="2.0", use_dictionary=False, **small)
    required = pa.field("messages", pa.list_(pa.field("item", message, nullable=False)), nullable=False)
    filled = [turns for turns in MESSAGES[:2] for _ in range(3)]
    pq.write_table(pa.table([pa.array(filled, required.type)], pa.schema([required])), OUT / "required.parquet")
    rows = pq.read_table(OUT / "nested-1.parquet").to_pylist()[: len(MESSAGES)]
    expected = json.dumps({"reference": f"pyarrow {pa.__version__}", "repeated": many, "rows": rows}, ensure_ascii=False)
    (OUT / "nested.json").write_text(expected + "\n", encoding="utf-8")


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, options in FILES.items():
        columns = {
            "id": pa.array(range(len(TEXTS)), pa.int64()),
            "body": pa.array(TEXTS, pa.string()),
            "text": pa.array([f"text {i}" for i in range(len(TEXTS))]),
        }
        table = pa.table(columns)
        if name == "none":
            table = table.select(["body"])
        pq.write_table(table, OUT / f"{name}.parquet", row_group_size=3, **options)
    # Pages without any value, which are compressed to and from nothing.
    pq.write_table(pa.table({"body": [None] * 3 + TEXTS}), OUT / "nulls.parquet", compression="gzip", row_group_size=3)
    # A string column with bytes that are not UTF-8, which pyarrow does not check.
    buffers = [None, pa.py_buffer(b"\x00\x00\x00\x00\x02\x00\x00\x00"), pa.py_buffer(b"\xff\xfe")]
    pq.write_table(pa.table({"text": pa.Array.from_buffers(pa.string(), 1, buffers)}), OUT / "not-utf8.parquet")
    expected = json.dumps({"reference": f"pyarrow {pa.__version__}", "body": TEXTS}, ensure_ascii=False)
    (OUT / "expected.json").write_text(expected + "\n", encoding="utf-8")
    write_nested()


if __name__ == "__main__":
    main()
