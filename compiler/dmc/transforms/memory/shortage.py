"""Refusing a program that needs more memory than there is, in terms of its source."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.dialects import func
from dmc.ir import Location, TensorType, Value
from dmc.transforms.memory.place import ARENA_BYTES, PRIVATE_BYTES
from dmc.transforms.memory.report import report

_SHOWN = 3
_WORTH_NAMING = 100  # how many times smaller than the largest
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


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
    planned = (function.attributes.get(name, 0) for name in (ARENA_BYTES, PRIVATE_BYTES))
    own = sum(number for number in planned if isinstance(number, int))
    return own + sum(large.bytes for large in _results(function))


def shortage(function: func.Func, name: str, available: int) -> Diagnostic:
    """Why a planned function does not run in `available` bytes, and which values are the largest.

    `name` is what its user calls it.
    """
    plan = report(function)
    found = _results(function)
    for entry in plan.entries:
        if isinstance(entry.type, TensorType):
            found.append(_Large(_described(entry.type), entry.bytes, entry.location))
    found.sort(key=lambda large: -large.bytes)
    found = [large for large in found if large.bytes * _WORTH_NAMING >= found[0].bytes]
    labels: list[Label] = []
    notes: list[str] = []
    for large in found:
        span = large.location.span
        text = f"{large.text}: {_size(large.bytes)}"
        if span is None:
            notes.append(text)
        elif all(label.span.start_line != span.start_line for label in labels):
            labels.append(Label(span, text))
        if len(labels) + len(notes) == _SHOWN:
            break
    private = function.attributes[PRIVATE_BYTES]
    if isinstance(private, int) and private > available:
        notes.append(f"each parallel task of a builder needs {_size(private)}")
    needed = _size(needed_bytes(function))
    return Diagnostic(
        "memory.size",
        f"`{name}` needs {needed} of memory, and there are {_size(available)}",
        labels[0] if labels else None,
        tuple(labels[1:]),
        tuple(notes),
        (
            "sum a large array where it is built instead of keeping it: `sum[i, j](x[i] * x[j])`",
            "or call it for a part at a time; of a long loop, `checkpoint for` keeps less",
        ),
    )


def _results(function: func.Func) -> list[_Large]:
    """The results that are new arrays, those written over a donated argument left out."""
    donated = function.attributes.get("donated", ())
    spare = len(donated) if isinstance(donated, tuple) else 0
    values = function.body.terminator.operands
    found = [
        _Large(_described(value.type), value.type.bytes, _location(value, function))
        for value in values
        if isinstance(value.type, TensorType)
    ]
    return sorted(found, key=lambda large: large.bytes)[: max(len(found) - spare, 0)]


def _location(value: Value, function: func.Func) -> Location:
    op = value.defining_op
    return function.location if op is None else op.location


def _described(type_: TensorType) -> str:
    return f"{type_.dtype.value}{list(type_.shape)}" if type_.shape else type_.dtype.value


def _size(count: int) -> str:
    amount, unit = float(count), 0
    while amount >= 1024 and unit + 1 < len(_UNITS):
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.4g} {_UNITS[unit]}"
