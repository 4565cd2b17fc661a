"""The tool of GradBench, spoken to as its evals do, beside references of our own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.gradbench_references import EXAMPLES, Example

TOOL = Path(__file__).parents[2] / "benchmarks" / "gradbench" / "tool.py"

Json = Any
Ask = Callable[..., Json]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Sends a message to a running tool, and gives its response."""
    pipe = subprocess.PIPE
    numbers = count()
    with subprocess.Popen([sys.executable, str(TOOL)], stdin=pipe, stdout=pipe, text=True) as tool:
        to_tool, from_tool = tool.stdin, tool.stdout
        assert to_tool is not None
        assert from_tool is not None

        def asked(kind: str, **message: Json) -> Json:
            number = next(numbers)
            line = json.dumps({"id": number, "kind": kind, **message})
            print(line, file=to_tool, flush=True)
            response = json.loads(from_tool.readline())
            assert response.pop("id") == number
            return response

        yield asked
        to_tool.close()
        assert tool.wait(60) == 0


def unlike(expected: Json, actual: Json, tolerance: float) -> str | None:
    """Where an output is not as expected: `.vals differs by 3e-2`."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or expected.keys() != actual.keys():
            return " has other fields"
        found = ((name, unlike(expected[name], actual[name], tolerance)) for name in expected)
        return next((f".{name}{what}" for name, what in found if what), None)
    right, given = np.asarray(expected, float), np.asarray(actual, float)
    if right.shape != given.shape:
        return f" has the shape {given.shape}, not {right.shape}"
    if not np.isfinite(given).all():
        return " is not finite"
    distance = np.abs(given - right).max(initial=0.0)
    size = np.abs(right).max(initial=1.0)
    return f" differs by {distance:.0e}" if distance > tolerance * size else None


@pytest.mark.parametrize("name", EXAMPLES)
def test_outputs_are_those_of_the_references(ask: Ask, name: str) -> None:
    module, make, tolerance = EXAMPLES[name]
    example: Example = make()
    assert ask("define", module=module)["success"]
    given = example.given
    if isinstance(given, dict):
        given = given | {"min_runs": 2, "min_seconds": 0.0}
    for function, expected in example.outputs.items():
        response = ask("evaluate", module=module, function=function, input=given)
        assert response["success"], response["error"]
        wrong = unlike(expected(), response["output"], tolerance)
        assert wrong is None, f"{function}{wrong}"
        names = [timing["name"] for timing in response["timings"]]
        assert names == ["prepare", "evaluate", "evaluate"][: 3 if isinstance(given, dict) else 2]


def test_a_wrong_output_is_seen() -> None:
    right = {"vals": np.array([1.0, 2.0])}
    assert unlike(right, {"vals": [1.0, 2.0]}, 1e-6) is None
    assert unlike(right, {"vals": [1.0, 2.1]}, 1e-6) == ".vals differs by 1e-01"
    assert unlike(right, {"vals": [1.0, float("nan")]}, 1e-6) == ".vals is not finite"
    assert unlike(right, {"vals": [1.0]}, 1e-6) == ".vals has the shape (1,), not (2,)"
    assert unlike(right, {"values": [1.0, 2.0]}, 1e-6) == " has other fields"


def test_runs_go_on_until_enough_seconds_are_timed(ask: Ask) -> None:
    given = {"x": [1.0, 2.0], "min_runs": 1, "min_seconds": 0.02}
    response = ask("evaluate", module="lse", function="primal", input=given)
    times = [t["nanoseconds"] for t in response["timings"] if t["name"] == "evaluate"]
    assert sum(times) >= 2e7 > sum(times[:-1])


def test_what_cannot_be_answered_is_said_and_the_next_message_answered(ask: Ask) -> None:
    def error(kind: str, **message: Json) -> str:
        response = ask(kind, **message)
        assert response["success"] is False
        return response["error"]

    assert ask("start", eval="hello") == {"tool": "dmc"}
    assert error("define", module="nothing").startswith("no module `nothing`; there are ba, det")
    of_hello = error("evaluate", module="hello", function="cube", input=1.0)
    assert of_hello == "no function `cube`; there are square, double"

    def of_lse(given: Json) -> str:
        return error("evaluate", module="lse", function="primal", input=given)

    assert of_lse({}) == "the input has no `x`"
    assert of_lse(3.0) == "the input is no object"
    assert of_lse({"x": "much"}).startswith("`x` is no array")
    assert "`requires N >= 1` fails" in of_lse({"x": []})
    assert of_lse({"x": [float("inf"), 1.0]}) == "the output is not finite"
    assert ask("analysis", of=0, valid=True) == {}
    assert ask("evaluate", module="hello", function="square", input=2)["output"] == 4.0
