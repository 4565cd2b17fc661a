"""Gathers of neighbours from a place on, and scatters to them, are windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import arith, tensor
from dmc.dialects.tensor.subscripts import movement_map, subscript_of
from dmc.dialects.value_ranges import bounds_of
from dmc.ir import AffineExpr, Builder, DType, Module, Operation, Value, shape_of
from dmc.ir.passes import Pass
from dmc.ir.rewriter import pattern, rewrite
from dmc.transforms.batch import erase_between


@dataclass(frozen=True)
class RecognizeWindows(Pass):
    """Read `x[t + i]` for all i as a slice of x that begins at t, and add to it as one.

    Only where the loops around show that nothing leaves its axis: there every subscript would be
    clamped by itself.
    """

    name = "recognize-windows"

    def run(self, module: Module) -> None:
        rewrite(module, [_windows])


@pattern(tensor.Gather, tensor.Scatter)
def _windows(op: Operation, builder: Builder) -> Sequence[Value] | None:
    start = op.previous
    found = _gather(op, builder) or _scatter(op, builder)
    if found is None and op.parent is not None:
        erase_between(op.parent, start, op)
    return found


@dataclass(frozen=True)
class _Window:
    """Where a part of `sizes` begins.

    `order` lists its axes as they are in what is gathered; axes of one element come last.
    """

    starts: tuple[Value, ...]
    sizes: tuple[int, ...]
    order: tuple[int, ...]


def _gather(op: Operation, builder: Builder) -> Sequence[Value] | None:
    if not isinstance(op, tensor.Gather):
        return None
    window = _window(op, op.operand, builder)
    if window is None:
        return None
    part = tensor.dynamic_slice(builder, op.operand, window.starts, window.sizes)
    moved = tensor.transpose(builder, part, window.order)
    return (tensor.reshape(builder, moved, shape_of(op.result.type)),)


def _scatter(op: Operation, builder: Builder) -> Sequence[Value] | None:
    if not isinstance(op, tensor.Scatter):
        return None
    window = _window(op, op.input, builder)
    if window is None:
        return None
    moved = tensor.reshape(builder, op.updates, [window.sizes[d] for d in window.order])
    back = [window.order.index(d) for d in range(len(window.order))]
    update = tensor.transpose(builder, moved, back)
    values = [op.input, update, *window.starts]
    new = tensor.DynamicUpdateSlice(values, {"combiner": op.combiner.value})
    return (builder.insert(new).result,)


def _window(op: tensor.Gather | tensor.Scatter, x: Value, builder: Builder) -> _Window | None:
    """The part of `x` that is addressed, if it is one and inside of `x`."""
    shape = shape_of(x.type)
    along: dict[int, int] = {}
    sizes, starts = list(shape), [arith.index(builder, 0) for _ in shape]
    for d, index in zip(op.start_index_map, op.index_operands, strict=True):
        found = _start(index, builder)
        if found is None:
            return None
        starts[d], axis = found
        sizes[d] = 1 if axis is None else op.index_shape[axis]
        bounds = bounds_of(starts[d])
        if bounds is None or bounds[0] < 0 or bounds[1] + sizes[d] > shape[d]:
            return None
        if axis is not None:
            if axis in along:
                return None
            along[axis] = d
    if op.operand_batching_dims or sorted(along) != list(range(len(op.index_shape))):
        return None
    single = [d for d in op.start_index_map if d not in along.values()]
    order = (*(along[axis] for axis in range(len(along))), *op.whole_dims, *single)
    return _Window(tuple(starts), tuple(sizes), order)


def _start(index: Value, builder: Builder) -> tuple[Value, int | None] | None:
    """A scalar and the axis whose position is added to it, where an index tensor is their sum."""
    scalars: list[tuple[Value, bool]] = []
    rest = _without_scalars(index, True, scalars)
    if rest is None:
        return None
    axes = [axis for axis, c in enumerate(rest.coefficients) if c]
    if not rest.is_affine or len(axes) > 1 or any(rest.coefficients[axis] != 1 for axis in axes):
        return None
    start = arith.index(builder, rest.constant)
    for value, adds in scalars:
        wide = arith.convert(builder, value, DType.I64)
        start = (arith.add if adds else arith.subtract)(builder, start, wide)
    return start, axes[0] if axes else None


def _without_scalars(
    index: Value, adds: bool, scalars: list[tuple[Value, bool]]
) -> AffineExpr | None:
    """The affine rest of a sum, whose repeated scalars are added to `scalars` with their signs.

    Positions are those of the whole index tensor.
    """
    expr = subscript_of(index)
    if expr is not None:
        return expr if adds else expr.scaled(-1)
    op, shape = index.defining_op, shape_of(index.type)
    if not shape:
        scalars.append((index, adds))
        return AffineExpr.number(0, 0)
    if isinstance(op, arith.Add | arith.Subtract):
        lhs = _without_scalars(op.lhs, adds, scalars)
        sign = adds if isinstance(op, arith.Add) else not adds
        rhs = _without_scalars(op.rhs, sign, scalars)
        return None if lhs is None or rhs is None else lhs + rhs
    positions = None if op is None else movement_map(op)
    if op is None or positions is None:
        return None
    inner = _without_scalars(op.operands[0], adds, scalars)
    return None if inner is None else inner.substitute(positions, len(shape), shape)
