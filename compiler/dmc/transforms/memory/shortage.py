"""Refusing a program that needs more memory than there is, in terms of its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.dialects import func
from dmc.ir import UNKNOWN, Location, TensorType, Value
from dmc.transforms.memory.report import described, report
from dmc_runtime.sizes import shown_bytes

_SHOWN = 3
_WORTH_NAMING = 100  # how many times smaller than the largest


@dataclass(frozen=True, slots=True)
class _Large:
    """A value that takes memory."""

    text: str
    bytes: int
    location: Location


def needed_bytes(function: func.Func) -> int:
    """What a function takes beside its arguments: arena, one task and new results.

    A function without a plan has neither arena nor private memory.
    """
    own = (function.arena_bytes or 0) + (function.private_bytes or 0)
    return own + sum(large.bytes for large in _results(function))


def shortage(function: func.Func, name: str, available: int) -> Diagnostic:
    """Why a planned function does not run in `available` bytes, and which values are the largest.

    `name` is what its user calls it.
    """
    plan = report(function)
    found = _results(function)
    for entry in plan.entries:
        if isinstance(entry.type, TensorType):
            found.append(_Large(described(entry.type), entry.bytes, entry.location))
    found.sort(key=lambda large: -large.bytes)
    found = [large for large in found if large.bytes * _WORTH_NAMING >= found[0].bytes]
    labels, notes = _places(found)
    private = function.private_bytes or 0
    if private > available:
        notes.append(f"each parallel task of a builder needs {shown_bytes(private)}")
    needed = shown_bytes(needed_bytes(function))
    return Diagnostic(
        "memory.size",
        f"`{name}` needs {needed} of memory, and there are {shown_bytes(available)}",
        labels[0] if labels else None,
        tuple(labels[1:]),
        tuple(notes),
        (
            "sum a large array where it is built instead of keeping it: `sum[i, j](x[i] * x[j])`",
            "or call it for a part at a time; of a long loop, `checkpoint for` keeps less",
        ),
    )


def budget_shortage(name: str, budget: int, needed: int, live: Mapping[Value, int]) -> Diagnostic:
    """Why the function `name` does not do with `budget` bytes: `live` are there together."""
    found = [
        _Large(described(value.type), size, _origin(value))
        for value, size in sorted(live.items(), key=lambda item: -item[1])
        if isinstance(value.type, TensorType)
    ]
    labels, notes = _places(found)
    return Diagnostic(
        "memory.budget",
        f"`{name}` cannot do with {shown_bytes(budget)} of memory: it needs {needed} bytes",
        labels[0] if labels else None,
        tuple(labels[1:]),
        tuple(notes),
        (
            f"allow it so much: `budget={needed}`",
            "what is shown is there at once, however much is computed again; make it smaller",
        ),
    )


def _origin(value: Value) -> Location:
    op = value.defining_op or (value.parent_block and value.parent_block.parent_op)
    return op.location if op else UNKNOWN


def _places(found: Sequence[_Large]) -> tuple[list[Label], list[str]]:
    """The largest values at their lines, and those that have none."""
    labels: list[Label] = []
    notes: list[str] = []
    for large in found:
        span = large.location.span
        text = f"{large.text}: {shown_bytes(large.bytes)}"
        if span is None:
            notes.append(text)
        elif all(label.span.start_line != span.start_line for label in labels):
            labels.append(Label(span, text))
        if len(labels) + len(notes) == _SHOWN:
            break
    return labels, notes


def _results(function: func.Func) -> list[_Large]:
    """The results that are new arrays, those written over a donated argument left out."""
    spare = len(function.donated or ())
    values = function.body.terminator.operands
    found = [
        _Large(described(value.type), value.type.bytes, _location(value, function))
        for value in values
        if isinstance(value.type, TensorType)
    ]
    return sorted(found, key=lambda large: large.bytes)[: max(len(found) - spare, 0)]


def _location(value: Value, function: func.Func) -> Location:
    op = value.defining_op
    return function.location if op is None else op.location
