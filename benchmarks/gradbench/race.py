"""The tools of a checkout of GradBench beside dmc, in the same run, asked by its own evals.

    python -m benchmarks.gradbench.race --gradbench PATH [--only gmm,ba] [--tools manual,jax]

Each eval runs as it is, at the size that `SIZES` chooses. What it asks is passed on to all tools in
turn, some rounds long, on one thread; the least time of an evaluation counts. The eval gets the
answers of dmc, and holds them against the program that was differentiated by hand, in C++; those of
the others are held against dmc's.

The checkout needs `make -C cpp` before, which gets a header of C++. `--peers-python` names an
interpreter with JAX, PyTorch, SciPy, pydantic and dataclasses-json.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.gradbench.speaker import Message, Silent, Speaker
from benchmarks.workload import Foreign

ROOT = Path(__file__).resolve().parents[2]
OURS = "dmc"
SIZES: Mapping[str, Sequence[str]] = {
    "hello": (),
    "ba": ("--max", "1"),
    "det": ("-l", "9"),
    "gmm": ("-d", "32", "-k", "25"),
    "ht": ("--min", "3", "--max", "3"),
    "kmeans": ("-k", "100", "-n", "10000", "-d", "16"),
    "llsq": ("-n", "4096"),
    "lse": ("-n", "1000000"),
    "lstm": ("-l", "4", "-c", "1024"),
    "ode": ("-n", "1000", "-s", "100"),
    "particle": (),
    "saddle": (),
}
"""Options of the evals, by which each asks for one size."""

CPP = ("manual", "finite")
PYTHON = ("jax", "pytorch")
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
TOLERANCE = 1e-3
"""Of peers' numbers beside dmc's, relative to the largest, or to 1; finite differences have few."""


class Wrong(Exception):
    """An eval does not accept what dmc answers, or dmc does not answer."""


@dataclass
class Row:
    """One question of an eval: the least milliseconds by tool, and why others have none."""

    what: str
    ms: dict[str, float] = field(default_factory=dict[str, float])
    absent: dict[str, str] = field(default_factory=dict[str, str])

    def cells(self, tools: Sequence[str]) -> list[str]:
        """Times, and that of the best peer over that of dmc."""
        shown = [f"{self.ms[t]:.3g}" if t in self.ms else self.absent.get(t, "–") for t in tools]
        peers = [ms for tool, ms in self.ms.items() if tool != OURS]
        return [self.what, *shown, f"{min(peers) / self.ms[OURS]:.2f}" if peers else "–"]


@dataclass(frozen=True)
class Checkout:
    """GradBench on disk, and the interpreter that its parts in Python need."""

    path: Path
    python: str
    patience: float

    def start(self, script: str, *options: str) -> Speaker:
        """A script of its package."""
        package = self.path / "python" / "gradbench"
        command = [self.python, str(package / "gradbench" / script), *options]
        return self._speaker(command, str(package))

    def tool(self, name: str) -> Speaker:
        """A tool that answers on one thread."""
        if name == OURS:
            script = Path(__file__).with_name("tool.py")
            return self._speaker([sys.executable, str(script)], str(ROOT))
        if name in CPP:
            return self.start("cpp.py", name)
        return self.start(f"tools/{name}/run.py")

    def _speaker(self, command: Sequence[str], package: str) -> Speaker:
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        settings = dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": path}
        return Speaker(command, self.path, settings, self.patience)


class Field:
    """The tools that take part in one eval; who does not answer leaves."""

    def __init__(self, speakers: Mapping[str, Speaker]) -> None:
        self.speakers = dict(speakers)
        self.gone: dict[str, str] = {}

    def pass_on(self, message: Message) -> Message:
        """What dmc answers; tools that refuse a `define` have no such eval, and leave."""
        ours: Message | None = None
        for tool in list(self.speakers):
            answer = self._answer(tool, message)
            if tool == OURS:
                ours = answer
            elif answer is not None and not answer.get("success", True):
                self._leave(tool, "–", str(answer.get("error", "")))
        return self._of_dmc(ours)

    def evaluate(self, message: Message, rounds: int) -> tuple[Message, Row]:
        """What dmc answers, and all times."""
        described = (
            str(message[name]) for name in ("module", "function", "description") if name in message
        )
        row, ours = Row(" ".join(described)), None
        for _ in range(rounds):
            for tool in list(self.speakers):
                answer = self._answer(tool, message)
                if answer is None:
                    continue
                ours = answer if tool == OURS else ours
                problem = _problem(answer, self._of_dmc(ours))
                if problem is None:
                    row.ms[tool] = min(row.ms.get(tool, np.inf), _least_ms(answer))
                else:
                    row.absent[tool] = problem
        row.absent |= self.gone
        return self._of_dmc(ours), row

    def _answer(self, tool: str, message: Message) -> Message | None:
        try:
            return self.speakers[tool].ask(message)
        except Silent as silence:
            self._leave(tool, "late", str(silence))
            return None

    def _leave(self, tool: str, reason: str, said: str) -> None:
        _tell(f"  {tool} leaves: {said}")
        del self.speakers[tool]
        self.gone[tool] = reason

    def _of_dmc(self, answer: Message | None) -> Message:
        if answer is None or not answer.get("success", True):
            raise Wrong(f"dmc: {self.gone.get(OURS) or (answer or {}).get('error')}")
        return answer


def race(
    checkout: Checkout, name: str, tools: Sequence[str], options: argparse.Namespace
) -> list[Row]:
    """All that one eval asks. Raises Wrong, and Silent for an eval that breaks off."""
    asks = [*SIZES[name]]
    asks += [] if name == "hello" else ["--min-runs", "1", "--min-seconds", str(options.seconds)]
    rows: list[Row] = []
    with ExitStack() as stack:
        judge = stack.enter_context(checkout.start(f"evals/{name}/run.py", *asks))
        running = {tool: stack.enter_context(checkout.tool(tool)) for tool in (OURS, *tools)}
        present = Field(running)
        while (message := judge.read()) is not None:
            match message["kind"]:
                case "evaluate":
                    answer, row = present.evaluate(message, options.rounds)
                    rows.append(row)
                    judge.send(answer)
                case "analysis":
                    if not message["valid"]:
                        raise Wrong(f"{rows[-1].what}: {message['error']}")
                    judge.send({"id": message["id"]})
                case _:
                    judge.send(present.pass_on(message))
    return rows


def _least_ms(answer: Message) -> float:
    times = [each["nanoseconds"] for each in answer["timings"] if each["name"] == "evaluate"]
    return min(times) / 1e6


def _problem(answer: Message, ours: Message) -> str | None:
    """Why an answer has no time."""
    if not answer["success"]:
        return "failed"
    return None if _alike(answer["output"], ours["output"]) else "wrong"


def _alike(given: Foreign, wanted: Foreign) -> bool:
    if isinstance(wanted, dict):
        names = wanted.keys()
        return (
            isinstance(given, dict)
            and names == given.keys()
            and all(_alike(given[n], wanted[n]) for n in names)
        )
    first, second = np.asarray(given, float), np.asarray(wanted, float)
    if first.shape != second.shape:
        return False
    size = max(1.0, float(np.abs(second).max(initial=0.0)))
    return bool((np.abs(first - second) <= TOLERANCE * size).all())


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gradbench", type=Path, required=True, help="the checkout")
    parser.add_argument("--only", default=",".join(SIZES), help="evals")
    parser.add_argument("--tools", default=",".join((*CPP, *PYTHON)), help="peers")
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each tool, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=120.0, help="seconds for an answer")
    options = parser.parse_args()
    tools = options.tools.split(",")
    checkout = Checkout(options.gradbench.resolve(), options.peers_python, options.patience)
    print(
        "| eval, function, size |",
        *(f" {tool}, ms |" for tool in (OURS, *tools)),
        " best peer / dmc |",
        sep="",
    )
    print("|---|" + "--:|" * (len(tools) + 2), flush=True)
    for name in options.only.split(","):
        _tell(f"{name}:")
        for row in race(checkout, name, tools, options):
            print("| " + " | ".join(row.cells((OURS, *tools))) + " |", flush=True)


if __name__ == "__main__":
    main()
