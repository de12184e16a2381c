"""Scores made-up answers with independent software: SQuAD's exact match and F1 as implemented in transformers,
and ROUGE-L of rouge-score 0.1.2.

    pip install rouge-score==0.1.2   # in the environment of requirements-transformers-4.txt
    python make_answer_goldens.py > ../fixtures/answer-goldens.json
"""

import json

from rouge_score.rouge_scorer import RougeScorer
from transformers.data.metrics.squad_metrics import compute_exact, compute_f1

PAIRS = [
    ("The cat sat on the mat.", "a cat sat on a mat"),
    ("cat", "The cats"),
    ("Olivia d'Abo", "olivia dabo"),
    ("in 1957, at Lukang", "Lukang in 1957"),
    ("", "nothing"),
    ("the the the", "a"),
    ("police killed the gunman", "the gunman killed police"),
    ("one two three four five", "one three five two four six"),
    (
        "A model that prunes neurons keeps its experts, and loses little.",
        "Pruning neurons keeps experts; it loses little of a model.",
    ),
    ("U.S. president John F. Kennedy", "John F. Kennedy"),
    ("12,000 dollars", "12000 dollars"),
]

rouge = RougeScorer(["rougeL"], use_stemmer=False)
print(
    json.dumps(
        [
            {
                "answer": answer,
                "reference": reference,
                "exact_match": compute_exact(reference, answer),
                "f1": compute_f1(reference, answer),
                "rougeL": rouge.score(reference, answer)["rougeL"].fmeasure,
            }
            for answer, reference in PAIRS
        ],
        indent=1,
    )
)
