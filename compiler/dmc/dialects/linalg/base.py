"""What the operations of the `linalg` dialect share: matrices in the last two axes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith, tensor
from dmc.dialects.arith import Direction
from dmc.dialects.tensor.base import TensorOp, moved_bytes, rank_of, type_of
from dmc.ir import (
    AffineExpr,
    Array,
    Batched,
    Builder,
    Cost,
    DType,
    TensorType,
    Value,
    operand,
    shape_of,
)


class Composed(TensorOp, ABC):
    """Base of operations that other operations compute, once they are differentiated."""

    computes = True

    @abstractmethod
    def expanded(self, builder: Builder) -> Value | None:
        """The result by other operations; None where this one is a kernel."""


class Factorization(TensorOp):
    """Base of operations on matrices of floats: leading axes tell matrices apart."""

    computes = True
    matrix = operand()

    @property
    def rows(self) -> int:
        return shape_of(self.matrix.type)[-2]

    @property
    def columns(self) -> int:
        return shape_of(self.matrix.type)[-1]

    def require_matrix(self, number: int, square: bool = False) -> TensorType:
        """The operand's type, of which it is required that it is of matrices of floats."""
        type_ = type_of(self.matrix)
        kind = "square matrix" if square else "matrix"
        fits = type_.rank >= 2 and (not square or type_.shape[-1] == type_.shape[-2])
        self.require(number, fits and type_.dtype.is_float, f"{type_} is no {kind} of floats")
        return type_

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        out = builder.insert(type(self)([x.value], self.attributes))
        return [Batched(value, x.axes) for value in out.results]

    def work(self) -> int:
        """Multiplications and additions for one matrix."""
        return self.rows * self.columns * min(self.rows, self.columns)

    def cost(self) -> Cost:
        matrices = type_of(self.matrix).size // max(self.rows * self.columns, 1)
        return Cost(flops=matrices * self.work(), bytes=moved_bytes(self))


def swapped(x: Array) -> Array:
    """Rows as columns."""
    return np.swapaxes(x, -1, -2)


def transposed(builder: Builder, x: Value) -> Value:
    """Rows as columns."""
    rank = rank_of(x)
    return tensor.transpose(builder, x, (*range(rank - 2), rank - 1, rank - 2))


def product(
    builder: Builder, x: Value, y: Value, absorb: tuple[bool, bool] = (False, False)
) -> Value:
    """The product of matrices. `absorb`: whether zeros of `x`, and of `y`, absorb."""
    rank = rank_of(x)
    lead = range(rank - 2)
    return tensor.dot_general(builder, x, y, (lead, lead), ([rank - 1], [rank - 2]), absorb)


def _compared(builder: Builder, shape: Sequence[int], direction: Direction) -> Value:
    """Where the number of the row compares so with that of the column."""
    rank = len(shape)
    places = TensorType(tuple(shape), DType.I64)
    rows, columns = (tensor.iota(builder, places, axis) for axis in (rank - 2, rank - 1))
    return arith.compare(builder, direction, rows, columns)


def triangle(builder: Builder, x: Value, lower: bool, strict: bool = False) -> Value:
    """A triangle of matrices, without the diagonal if `strict`; zero elsewhere."""
    if strict:
        direction = Direction.GT if lower else Direction.LT
    else:
        direction = Direction.GE if lower else Direction.LE
    inside = _compared(builder, shape_of(x.type), direction)
    return arith.select(builder, inside, x, arith.zeros(builder, x.type))


def is_diagonal(builder: Builder, x: Value) -> Value:
    """Where matrices of the shape of `x` have their diagonal."""
    return _compared(builder, shape_of(x.type), Direction.EQ)


def splat(builder: Builder, value: float, like: Value) -> Value:
    return arith.constant(builder, value, like.type)


def halved_triangle(builder: Builder, x: Value) -> Value:
    """The upper triangle, with half of the diagonal."""
    half = arith.multiply(builder, x, splat(builder, 0.5, x))
    inside = arith.select(builder, is_diagonal(builder, x), half, x)
    return triangle(builder, inside, lower=False)


def mirrored(builder: Builder, x: Value) -> Value:
    """The symmetric matrices that have the upper triangle of `x`."""
    above = triangle(builder, x, lower=False, strict=True)
    whole = triangle(builder, x, lower=False)
    return arith.add(builder, whole, transposed(builder, above))


def folded(builder: Builder, x: Value) -> Value:
    """The transpose of `mirrored`: what is below the diagonal, added above it."""
    below = triangle(builder, x, lower=True, strict=True)
    whole = triangle(builder, x, lower=False)
    return arith.add(builder, whole, transposed(builder, below))


def diagonal(builder: Builder, x: Value) -> Value:
    """The diagonals of square matrices."""
    shape = shape_of(x.type)[:-1]
    rank = len(shape)
    exprs = [AffineExpr.dim(rank, d) for d in (*range(rank), rank - 1)]
    return tensor.read(builder, x, shape, exprs)


def along_rows(builder: Builder, x: Value, count: int) -> Value:
    """Each vector as all of the `count` rows of a matrix."""
    shape = shape_of(x.type)
    rank = len(shape)
    whole = (*shape[:-1], count, shape[-1])
    return tensor.broadcast_in_dim(builder, x, whole, (*range(rank - 1), rank))


def along_columns(builder: Builder, x: Value, count: int) -> Value:
    """Each vector as all of the `count` columns of a matrix."""
    shape = shape_of(x.type)
    return tensor.broadcast_in_dim(builder, x, (*shape, count), range(len(shape)))


def on_diagonal(builder: Builder, x: Value) -> Value:
    """Each vector as the diagonal of a matrix that is zero elsewhere."""
    whole = along_rows(builder, x, shape_of(x.type)[-1])
    zero = arith.zeros(builder, whole.type)
    return arith.select(builder, is_diagonal(builder, whole), whole, zero)


def total(builder: Builder, *parts: Value | None) -> Value | None:
    """The sum of what there is."""
    present = [part for part in parts if part is not None]
    if not present:
        return None
    out = present[0]
    for part in present[1:]:
        out = arith.add(builder, out, part)
    return out


def selected(builder: Builder, x: Value, by: Value, along: Sequence[int]) -> Value:
    """`x` where something along axes of `by`, of the same shape, is not zero; zeros elsewhere."""
    zero = arith.zeros(builder, by.type)
    counts = arith.compare(builder, Direction.NE, by, zero)
    some = tensor.reduce(builder, counts, tensor.Kind.ANY, along)
    dims = [d for d in range(rank_of(by)) if d not in along]
    spread = tensor.broadcast_in_dim(builder, some, shape_of(by.type), dims)
    return arith.select(builder, spread, x, zero)
