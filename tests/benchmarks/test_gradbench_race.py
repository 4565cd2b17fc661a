"""Tools of a checkout are asked what an eval asks, timed when they agree, and left out when not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from benchmarks.gradbench.race import Checkout, Wrong, race

EVAL = """
import json, sys
def ask(**message):
    print(json.dumps(message), flush=True)
    return json.loads(sys.stdin.readline())
assert ask(id=0, kind="start", eval="hello")["id"] == 0
assert ask(id=1, kind="define", module="hello")["success"]
answer = ask(id=2, kind="evaluate", module="hello", function="square", input=3.0)
ask(id=3, kind="analysis", of=2, valid=answer["output"] == WANTED, error="no square")
"""

TOOL = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    answer = {"id": message["id"], "success": sys.argv[1:] != ["finite"]}
    if message["kind"] == "evaluate":
        answer |= {"output": OUTPUT, "timings": [{"name": "evaluate", "nanoseconds": 5000}]}
    print(json.dumps(answer), flush=True)
"""

OPTIONS = argparse.Namespace(seconds=0.0, rounds=2)


def checkout(folder: Path, wanted: float) -> Checkout:
    """An eval; tools that have it right, that refuse it, that are wrong, and that end."""
    for name, text in (
        ("evals/hello/run.py", EVAL.replace("WANTED", str(wanted))),
        ("cpp.py", TOOL.replace("OUTPUT", "9.0")),
        ("tools/jax/run.py", TOOL.replace("OUTPUT", "float('nan')")),
        ("tools/pytorch/run.py", "raise SystemExit(3)"),
    ):
        path = folder / "python" / "gradbench" / "gradbench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Checkout(folder, sys.executable, 60.0)


def test_who_agrees_is_timed(tmp_path: Path) -> None:
    tools = ("manual", "finite", "jax", "pytorch")
    (row,) = race(checkout(tmp_path, 9.0), "hello", tools, OPTIONS)
    assert row.what == "hello square"
    assert row.ms.keys() == {"dmc", "manual"}
    assert row.absent == {"finite": "–", "jax": "wrong", "pytorch": "late"}
    _, ours, *cells = row.cells(("dmc", *tools))
    assert float(ours) > 0
    assert cells[:-1] == ["0.005", "–", "wrong", "late"]


def test_an_eval_that_finds_dmc_wrong_ends_the_race(tmp_path: Path) -> None:
    with pytest.raises(Wrong, match="hello square: no square"):
        race(checkout(tmp_path, 8.0), "hello", (), OPTIONS)
