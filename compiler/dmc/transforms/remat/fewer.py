"""Keeping a value in fewer bits while it waits.

It is rounded behind its last reader in the forward pass, and made as wide as before in front of the
first one in the reverse pass. This changes gradients, so users ask for it. What a loop begins with
is never rounded: what runs again from it would be another program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

from dmc.autodiff.plan import executions
from dmc.dialects import arith, control, func, kernel, math
from dmc.dialects.flow import ControlFlow
from dmc.ir import (
    AffineMap,
    Builder,
    DType,
    Operation,
    ShapedType,
    Type,
    Value,
    bytes_of,
    dtype_of,
    shape_of,
)
from dmc.transforms.common import code
from dmc.transforms.generics import Read, make_generic
from dmc.transforms.memory.place import ROUNDED
from dmc.transforms.remat.again import RECOMPUTE, replace_behind, waiting
from dmc.transforms.remat.measure import Measure
from dmc.transforms.remat.move import Move, anchor
from dmc.transforms.remat.tape import pair_of
from dmc_runtime.budget import Keep

Code = Callable[[Builder, list[Value]], Value]
"""From numbers at a point to the number there."""

WRITES, READS = "writes", "reads"
"""The operations that round, and those that make wide what was rounded."""

LEVELS = 127.0
"""The largest magnitude of an `i8` that is used."""


def moves(measure: Measure, keep: Keep) -> Iterator[Move]:
    """The values that are only waiting at the peak, kept as `keep`."""
    if keep is Keep.WHOLE:
        return
    for value, size in measure.live.items():
        op = value.defining_op
        if op is None or not _can_round(value.type, keep):
            continue
        if isinstance(op, control.For) and value.index >= op.carried:
            yield from _of_stack(measure, op, value, keep)
        elif not isinstance(op, kernel.View) and (wait := waiting(measure, value)) is not None:
            gain = size - rounded_bytes(value.type, keep)
            cost = measure.time_to_move(3 * bytes_of(value)) * executions(op.parent)
            if gain > 0 and wait.at.location.is_reverse:
                yield Rounded(gain, wait.span, cost, value, wait.behind, wait.at, keep)


def drop_needless(function: func.Func) -> None:
    """Round nothing that is computed again where it is needed."""
    for op in list(code(function)):
        writer = op.operands[0].defining_op if op.rounded == READS else None
        if writer is None or writer.rounded != WRITES:
            continue
        if writer.parent is op.parent and not writer.location.is_by(ROUNDED):
            op.results[0].replace_all_uses_with(writer.operands[0])
            op.erase()


def _of_stack(measure: Measure, forward: control.For, stack: Value, keep: Keep) -> Iterator[Move]:
    pair = pair_of(stack)
    if pair is None or not pair.reverse.location.is_reverse or _begins_loops(pair.reverse, stack):
        return
    yielded = forward.body.terminator.operands[stack.index]
    count = max(forward.extent, 1)
    gain = measure.live[stack] - count * rounded_bytes(yielded.type, keep)
    if _can_round(yielded.type, keep) and gain > 0:
        span = measure.points[pair.reverse][0] - measure.points[forward][0]
        yield RoundedStack(gain, span, measure.time_to_move(3 * bytes_of(stack)), stack, keep)


def _begins_loops(reader: control.For, stack: Value) -> bool:
    """Whether loops inside begin with slices of a stack: they repeat what was computed from it."""
    args = [a for a, s in zip(reader.scanned_args, reader.scanned, strict=True) if s is stack]
    pairs = [(user, index) for arg in args for user, index in arg.uses]
    return any(isinstance(user, ControlFlow) and not user.slices(index) for user, index in pairs)


@dataclass(frozen=True)
class Rounded(Move):
    """Keep `value` rounded from behind `behind` until `at`."""

    value: Value
    behind: Operation
    at: Operation
    keep: Keep

    def apply(self) -> None:
        after, source = self.behind.next, self.value.defining_op
        assert after is not None
        assert source is not None
        kept = _encoded(Builder.ahead_of(after), self.value, source, self.keep)
        wide = _decoded(Builder.ahead_of(self.at), kept, self.value, source, self.keep)
        replace_behind(self.value, wide, self.at)


@dataclass(frozen=True)
class RoundedStack(Move):
    """Stack rounded values."""

    stack: Value
    keep: Keep

    def apply(self) -> None:
        pair = pair_of(self.stack)
        assert pair is not None
        body, reverse = pair.forward.body, pair.reverse
        value = body.terminator.operands[self.stack.index]
        source = value.defining_op or pair.forward
        builder = Builder.ahead_of(body.terminator)
        kept = _encoded(builder, value, source, self.keep)
        slices = [reverse.add_scanned(pair.forward.add_stack(each)) for each in kept]
        for arg, scanned in zip(reverse.scanned_args, reverse.scanned, strict=True):
            if scanned is self.stack and arg.uses:
                first = min((anchor(user, reverse.body) for user in arg.users), key=_place)
                builder = Builder.ahead_of(first)
                arg.replace_all_uses_with(_decoded(builder, slices, value, source, self.keep))


def _place(op: Operation) -> int:
    assert op.parent is not None
    return op.parent.place(op)


def _can_round(type_: Type, keep: Keep) -> bool:
    """Whether a value is of floats that have more bits; in 8, only rows of them."""
    dtype = dtype_of(type_)
    wide = dtype.is_float and dtype.bytes > 2
    return wide and (keep is Keep.BF16 or (keep is Keep.I8 and bool(shape_of(type_))))


def rounded_bytes(type_: Type, keep: Keep) -> int:
    """What a value of a type takes while it waits, kept as `keep`, if it can be."""
    shape, dtype = shape_of(type_), dtype_of(type_)
    if not _can_round(type_, keep):
        return type_.bytes if isinstance(type_, ShapedType) else 0
    if keep is Keep.BF16:
        return prod(shape) * DType.BF16.bytes
    return prod(shape) + prod(shape[:-1]) * dtype.bytes


def _encoded(builder: Builder, value: Value, source: Operation, keep: Keep) -> list[Value]:
    """What is kept of a value that `source` made: it rounded, in 8 bits behind a scale of rows."""
    builder.location = source.location.by(ROUNDED)
    name = value.name
    if keep is Keep.BF16:
        return [_marked(_mapped(builder, [value], [0], _to(DType.BF16), name), WRITES)]
    shape = shape_of(value.type)
    rows = AffineMap.select(len(shape), range(len(shape) - 1))
    read = Read(value, AffineMap.identity(len(shape)))

    def magnitude(b: Builder, args: list[Value]) -> list[Value]:
        return [b.insert(arith.Abs([args[0]])).results[0]]

    made = make_generic(
        builder, shape, [read], magnitude, [rows], ["max"], reduced=1, names=["scale"]
    )
    scale = made.results[0]

    def quotient(b: Builder, args: list[Value]) -> Value:
        x, largest = args
        levels = arith.scalar(b, LEVELS, dtype_of(value.type))
        scaled = arith.multiply(b, arith.divide(b, x, largest), levels)
        return arith.convert(b, math.unary(b, "round", scaled), DType.I8)

    return [_marked(_mapped(builder, [value, scale], [0, 1], quotient, name), WRITES), scale]


def _decoded(
    builder: Builder, kept: Sequence[Value], value: Value, source: Operation, keep: Keep
) -> Value:
    """About what `value` is, of what is kept of it."""
    builder.location = source.location.by(RECOMPUTE)
    dtype = dtype_of(value.type)
    if keep is Keep.BF16:
        return _marked(_mapped(builder, kept, [0], _to(dtype), value.name), READS)

    def product(b: Builder, args: list[Value]) -> Value:
        number, largest = args
        step = arith.multiply(b, largest, arith.scalar(b, 1 / LEVELS, dtype))
        return arith.multiply(b, arith.convert(b, number, dtype), step)

    return _marked(_mapped(builder, kept, [0, 1], product, value.name), READS)


def _marked(value: Value, how: str) -> Value:
    assert value.defining_op is not None
    value.defining_op.attributes["rounded"] = how
    return value


def _to(dtype: DType) -> Code:
    return lambda b, args: arith.convert(b, args[0], dtype)


def _mapped(
    builder: Builder, values: Sequence[Value], dropped: Sequence[int], code: Code, name: str
) -> Value:
    """`code` at each point of the first value; of each value so many last axes are `dropped`."""
    shape = shape_of(values[0].type)
    if not shape:
        return code(builder, list(values))
    rank = len(shape)
    reads = [
        Read(value, AffineMap.select(rank, range(rank - axes)))
        for value, axes in zip(values, dropped, strict=True)
    ]

    def body(b: Builder, args: list[Value]) -> list[Value]:
        return [code(b, args)]

    whole = AffineMap.identity(rank)
    return make_generic(builder, shape, reads, body, [whole], names=[name]).results[0]
