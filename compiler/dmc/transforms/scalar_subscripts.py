"""Integers of scalar code as quasi-affine functions of the point, where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dmc.dialects import arith, kernel
from dmc.dialects.elementwise import constant_array
from dmc.dialects.value_ranges import bounds_of
from dmc.ir import AffineExpr, DType, Operation, Value, dtype_of


@dataclass(frozen=True)
class Space:
    """Dimensions of `sizes` that begin at `starts`, those that are left out at 0.

    Block arguments that are 0-d integers of known bounds are dimensions too: `scalars`.
    """

    sizes: Sequence[int]
    starts: Mapping[int, int] = field(default_factory=dict[int, int])
    scalars: Mapping[Value, int] = field(default_factory=dict[Value, int])

    def from_zero(self, expr: AffineExpr) -> AffineExpr:
        """An affine expression of what counts from the starts as one of the numbers themselves."""
        parts = enumerate(expr.coefficients)
        return expr.plus(-sum(c * self.starts.get(d, 0) for d, c in parts))


def space_of(op: kernel.Generic) -> Space:
    """The space of a kernel, with a dimension for each of its operands behind its own."""
    sizes, rank = list(op.space), len(op.space)
    starts: dict[int, int] = {}
    scalars: dict[Value, int] = {}
    after = op.epilogue.args[len(op.epilogue.args) - op.epilogue_operands :]
    for i, (value, arg) in enumerate(zip(op.operands, (*op.body.args, *after), strict=True)):
        bounds = bounds_of(value) if kernel.is_scalar_integer(value.type) else None
        low, high = bounds or (0, 0)
        sizes.append(high - low + 1)
        starts[rank + i] = low
        if bounds is not None:
            scalars[arg] = rank + i
    return Space(sizes, starts, scalars)


class Subscripts:
    """The integers of a block over a space, as expressions in which each dimension counts from 0.

    Numbers that could wrap around are unknown.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.sizes = space.sizes
        self._known: dict[Value, AffineExpr | None] = {}

    def of(self, value: Value) -> AffineExpr | None:
        """The expression of a value, or None."""
        if value not in self._known:
            found = self._compute(value)
            self._known[value] = found if found is not None and self._fits(found, value) else None
        return self._known[value]

    def _compute(self, value: Value) -> AffineExpr | None:
        rank, op = len(self.sizes), value.defining_op
        known = self.space.scalars.get(value)
        if known is not None:
            return AffineExpr.dim(rank, known, constant=self.space.starts.get(known, 0))
        if op is None or not dtype_of(value.type).is_integer:
            return None
        match op:
            case kernel.Index():
                return AffineExpr.dim(rank, op.dim, constant=self.space.starts.get(op.dim, 0))
            case arith.Constant():
                array = constant_array(value)
                return None if array is None else AffineExpr.number(rank, int(array))
            case arith.Convert():
                return self.of(op.operand)
            case arith.Negate():
                inner = self.of(op.operand)
                return None if inner is None else inner.scaled(-1)
            case (
                arith.Add()
                | arith.Subtract()
                | arith.Multiply()
                | arith.Maximum()
                | arith.Minimum()
                | arith.FloorDivide()
                | arith.Remainder()
            ):
                x, y = self.of(op.lhs), self.of(op.rhs)
                return None if x is None or y is None else self._combined(op, x, y)
            case _:
                return None

    def _combined(self, op: Operation, x: AffineExpr, y: AffineExpr) -> AffineExpr | None:
        match op:
            case arith.Add():
                return x + y
            case arith.Subtract():
                return x - y
            case arith.Multiply() if not x.dims():
                return y.scaled(x.constant)
            case arith.Multiply() if not y.dims():
                return x.scaled(y.constant)
            case arith.Maximum() | arith.Minimum():
                inner, end = (x, y) if not y.dims() else (y, x)
                return None if end.dims() else self._clamped(op, inner, end.constant)
            case arith.FloorDivide() if not y.dims() and y.constant > 0:
                return x.floordiv(y.constant, self.sizes)
            case arith.Remainder() if not y.dims() and y.constant > 0:
                return x.mod(y.constant, self.sizes)
            case _:
                return None

    def _clamped(self, op: Operation, inner: AffineExpr, end: int) -> AffineExpr:
        low, high = inner.bounds(self.sizes)
        if isinstance(op, arith.Maximum):
            return inner.clamp(end, max(end, high), self.sizes)
        return inner.clamp(min(end, low), end, self.sizes)

    def _fits(self, expr: AffineExpr, value: Value) -> bool:
        """Whether the number does not wrap around in its type."""
        dtype = dtype_of(value.type)
        if dtype is DType.BOOL or 0 in self.sizes:
            return False
        low, high = expr.bounds(self.sizes)
        half = 1 << (8 * dtype.bytes - 1)
        return -half <= low and high < half
