"""Programs with something wrong in them: refused in words, or compiled, run and held.

What still checks is called with small sizes and drawn arguments, by itself and under `grad`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dmc
from dmc.api.compiled import Compiled
from dmc.diagnostics.errors import Error
from dmc.ir import Array
from dmc.tools.arguments import prepare
from dmc.tools.failures import UsageError
from dmc.tools.functions import functions_of
from tests.fuzz import texts
from tests.fuzz.agreement import Bounded, compared
from tests.fuzz.family import Fault, Outcome, raised

ROOT = Path(__file__).parents[2]
FOLDERS = ("tests", "examples", "benchmarks", "runtime")
SECONDS = 2.0
"""Processor time that checking a program may take."""
SELDOM = 0.8
"""How many of those that import others, which take ten times as long, are drawn again."""


@functools.cache
def corpus() -> tuple[tuple[Path, str], ...]:
    """Every program of the repository."""
    found = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.dm"))
    return tuple((path, path.read_text(encoding="utf-8")) for path in found)


def outcome_of(text: str, folder: Path, seed: int) -> Outcome:
    """What becomes of a program: `refused`, `accepted`, `agrees`, `undecided`, or a fault."""
    start = time.process_time()
    try:
        module = dmc.loads(text, "mutant.dm", folder)
    except dmc.Error as refusal:
        return misplaced(refusal, text) or _late(start) or "refused"
    except Exception as failure:  # noqa: BLE001  # this is what must not be
        return raised("check", failure)
    outcome: Outcome = _late(start) or "accepted"
    if isinstance(outcome, Fault):
        return outcome
    names = list(functions_of(module))
    random.Random(seed).shuffle(names)
    return _run(module, names[0], seed) if names else outcome


def _late(start: float) -> Fault | None:
    """The fault of a check that began at a time of the processor and took too long."""
    took = time.process_time() - start
    return Fault("check takes long", f"{took:.1f} s") if took > SECONDS else None


def misplaced(refusal: dmc.Error, text: str) -> Fault | None:
    """The fault of a refusal that says nothing, or points outside of the text."""
    if not str(refusal).strip():
        return Fault("no message", repr(refusal))
    lines = text.split("\n")
    for diagnostic in refusal.diagnostics if isinstance(refusal, Error) else ():
        label = diagnostic.primary
        if label is None or label.span.file.name != "mutant.dm":
            continue
        span = label.span
        inside = 1 <= span.start_line <= len(lines)
        if not inside or not 1 <= span.start_column <= len(lines[span.start_line - 1]) + 1:
            return Fault("a span outside the file", f"{span}: {refusal}")
    return None


def _run(module: Any, name: str, seed: int) -> Outcome:
    """Call a function and its gradient."""
    function = functools.reduce(getattr, name.split("."), module)
    options = argparse.Namespace(arguments=[], sizes={}, seed=seed)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            call = prepare(module, function, options)
    except (dmc.Error, UsageError):
        return "accepted"
    except Exception as failure:  # noqa: BLE001
        return raised("arguments", failure)
    outcome: Outcome = "accepted"
    for what in (lambda f: f, dmc.grad):
        found = _held(what, function, call.named())
        if isinstance(found, Fault):
            return Fault(found.kind, f"{name}: {found.detail}")
        outcome = found if found != "refused" else outcome
    return outcome


def _held(what: Any, function: Any, named: dict[str, Any]) -> Outcome:
    try:
        compiled = what(function).specialize(**named)
        values = [named[parameter] for parameter in compiled.parameters if parameter in named]
        if len(values) < len(compiled.parameters):
            return "refused"
        leaves = arrays_of(compiled, values)
        compilation = compiled.compilation
        expanded = compilation.expanded
    except dmc.Error:
        return "refused"
    except Exception as failure:  # noqa: BLE001
        return raised("compile", failure)

    def interpreted(arguments: Sequence[Array]) -> list[Array]:
        made = Bounded(expanded).call(compilation.entry, arguments)
        return made[:-1] if compilation.returns_fault and made[-1] == 0 else made

    def native(arguments: Sequence[Array]) -> list[Array]:
        made = [*compilation.executable(*arguments)]
        return made[:-1] if compilation.returns_fault and made[-1] == 0 else made

    return compared(native, interpreted, leaves, expanded)


def arrays_of(compiled: Compiled, values: Sequence[Any]) -> list[Array]:
    """The leaves of arguments, as native code takes them."""
    leaves: list[Array] = []
    for take, value in zip(compiled._takers, values, strict=True):
        take(value, leaves)
    return leaves


def _shorter(rng: random.Random) -> tuple[Path, str]:
    """The shorter of two programs: so twice as many are tried in the same time."""
    return min(rng.choice(corpus()), rng.choice(corpus()), key=lambda each: len(each[1]))


class Sources:
    """A seed decides the program and what is changed in it."""

    name = "sources"

    def text(self, seed: int) -> tuple[str, Path]:
        rng = random.Random(f"source {seed}")
        path, text = _shorter(rng)
        if "import" in text and rng.random() < SELDOM:
            path, text = _shorter(rng)
        others = [rng.choice(corpus())[1] for _ in range(3)]
        return texts.mutant(text, others, rng), path.parent

    def check(self, seed: int) -> Outcome:
        text, folder = self.text(seed)
        return outcome_of(text, folder, seed)

    def shrunk(self, seed: int, fault: Fault) -> str:
        text, folder = self.text(seed)

        def holds(smaller: str) -> bool:
            found = outcome_of(smaller, folder, seed)
            return isinstance(found, Fault) and found.kind == fault.kind

        return texts.shrink(text, holds)
