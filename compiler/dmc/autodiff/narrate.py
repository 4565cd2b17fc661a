"""An adjoint that reads well: comments that say of which line of the source operations are.

Where an operation comes from is in its location, and so this is true of an adjoint after any pass.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from pathlib import Path

from dmc.dialects import func
from dmc.dialects.flow import ControlFlow, flow_of
from dmc.ir import Block, Operation, ShapedType, Trait, Value
from dmc.ir.location import Span


class Pass(enum.Enum):
    """What an operation of an adjoint is for."""

    FORWARD = "forward"
    REVERSE = "reverse"
    AGAIN = "again"
    """It belongs to the source, and runs in the reverse pass what was not kept."""


def pass_of(op: Operation) -> Pass:
    """By what has produced an operation."""
    match op.location.producer:
        case "adjoint":
            return Pass.REVERSE
        case "recompute":
            return Pass.AGAIN
        case _:
            return Pass.FORWARD


class Narrator:
    """Gives the comments in front of each operation of functions that are printed in order."""

    def __init__(self) -> None:
        self._said: dict[Block, tuple[Pass, Span]] = {}
        self._in_reverse: set[Block] = set()
        self._beginning: dict[Block, set[Operation]] = {}

    def __call__(self, op: Operation, name: Callable[[Value], str]) -> Iterator[str]:
        """The lines in front of `op`; `name` is how a value is printed."""
        block, span, kind = op.parent, op.location.span, pass_of(op)
        if block is None or isinstance(op, func.Func) or op.has(Trait.TERMINATOR):
            return
        if isinstance(block.parent_op, func.Func):
            yield from self._passes(op, block, kind, name)
        if block not in self._beginning:
            self._beginning[block] = _beginning(block)
        own = not op.has(Trait.CONSTANT) or op in self._beginning[block]
        if own and span is not None and not self._continues(block, kind, span):
            self._said[block] = kind, span
            yield _heading(kind, span, _file_of(block))
        kept = list(_kept(op))
        if kept:
            yield f"  keeps {_listed(kept, name)} for the reverse pass: {_size(kept)}"

    def _continues(self, block: Block, kind: Pass, span: Span) -> bool:
        """Whether the heading that stands above in the block is still true."""
        if block not in self._said:
            return False
        said, above = self._said[block]
        return (said, above.file, above.start_line) == (kind, span.file, span.start_line)

    def _passes(
        self, op: Operation, block: Block, kind: Pass, name: Callable[[Value], str]
    ) -> Iterator[str]:
        """Where a pass begins, and what the reverse pass reads of the forward pass."""
        if op is block.first and kind is Pass.FORWARD:
            yield "==== forward"
        if kind is Pass.FORWARD or block in self._in_reverse:
            return
        self._in_reverse.add(block)
        yield "==== reverse"
        read = [value for each in block for value in each.results if _is_read_back(value)]
        if read:
            yield f"  reads {_listed(read, name)} of the forward pass: {_size(read)}"


def _beginning(block: Block) -> set[Operation]:
    """Constants that stand where their line is; others stand ahead of a loop, or for reverse."""
    found: set[Operation] = set()
    after: Span | None = None
    for op in reversed(list(block)):
        span = op.location.span
        if not op.has(Trait.CONSTANT):
            after = span
        elif pass_of(op) is Pass.FORWARD and (
            op.results[0].name or not span or not after or span.start_line == after.start_line
        ):
            found.add(op)
    return found


def _file_of(block: Block) -> str:
    """The file of the function that a block is in."""
    op = block.parent_op
    while op is not None and not isinstance(op, func.Func):
        op = op.parent_op
    span = op.location.span if op is not None else None
    return span.file.name if span is not None else ""


def _heading(kind: Pass, span: Span, file: str) -> str:
    line = f"line {span.start_line}"
    where = line if span.file.name == file else f"{Path(span.file.name).name}, {line}"
    said = {
        Pass.FORWARD: where,
        Pass.REVERSE: f"back through {where}",
        Pass.AGAIN: f"again, {where}",
    }
    return f"{said[kind]}: {span.file.line(span.start_line).strip()}"


def _is_read_back(value: Value) -> bool:
    """Whether the reverse pass reads what the forward pass has computed."""
    op = value.defining_op
    if op is None or op.has(Trait.CONSTANT) or pass_of(op) is not Pass.FORWARD:
        return False
    return any(pass_of(user) is not Pass.FORWARD for user in value.users)


def _kept(op: Operation) -> Iterator[Value]:
    """The results of control flow that are there for the reverse pass only."""
    if not isinstance(op, ControlFlow) or pass_of(op) is not Pass.FORWARD:
        return
    for value in op.results:
        flow = flow_of(value)
        inside = flow is not None and flow.argument is None
        users = value.users
        if inside and users and all(pass_of(user) is not Pass.FORWARD for user in users):
            yield value


def _listed(values: list[Value], name: Callable[[Value], str]) -> str:
    """The values, with what the source says of those to which it gives no name."""
    return ", ".join(name(value) + _said_of(value) for value in values)


def _said_of(value: Value) -> str:
    if value.name:
        return ""
    made, flow = value, flow_of(value)
    while flow is not None and flow.argument is None and flow.yielded:
        made = flow.yielded[0]
        flow = flow_of(made)
    op = made.defining_op
    span = op.location.span if op is not None else None
    is_short = span is not None and span.start_line == span.end_line
    return f" ({span.file.quote(span)})" if span is not None and is_short else ""


def _size(values: list[Value]) -> str:
    """The memory that values take, as far as it is known."""
    sizes = [value.type.bytes for value in values if isinstance(value.type, ShapedType)]
    grows = " and tapes that grow" if len(sizes) < len(values) else ""
    return f"{sum(sizes)} bytes{grows}"
