"""`linalg`: systems with triangular matrices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import prod

import numpy as np

from dmc.dialects import arith, tensor
from dmc.dialects.linalg.base import (
    Composed,
    product,
    selected,
    swapped,
    total,
    transposed,
    triangle,
)
from dmc.dialects.tensor.base import moved_bytes, rank_of, type_of
from dmc.dialects.tensor.batching import align_all, arrange, axis_sizes
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    Cost,
    Interpreter,
    Type,
    Value,
    attribute,
    operand,
    result,
    shape_of,
)


class Solver(Composed):
    """Base of operations that solve systems: `right`, the last operand, has a column for each.

    The matrix is the first operand, or its transpose if `transposed`; only these two have
    derivatives. With `a x = b` that of x is the solution for `ḃ - ȧ x`, the cotangent of b that for
    `x̄` of the transposed matrix, and the cotangent of a `-b̄ xᵀ`.
    If `absorbs`, a column of `right` that is zero gives zeros, whatever the matrix is: so it is in
    derivatives, where such a column is of what is not selected.
    """

    transposed = attribute(bool, default=False)
    absorbs = attribute(bool, default=False)

    @property
    def right(self) -> Value:
        return self.operands[-1]

    @abstractmethod
    def solved(self, builder: Builder) -> Value | None:
        """What solves the same systems, and absorbs nothing; None for this operation itself."""

    def expanded(self, builder: Builder) -> Value | None:
        solved = self.solved(builder)
        if solved is None or not self.absorbs:
            return solved
        return selected(builder, solved, self.right, [rank_of(self.right) - 2])

    def absorbed(self, right: Array, x: Array) -> Array:
        """The solution with zeros where the operation is to give them."""
        if not self.absorbs:
            return x
        return np.where(np.any(right != 0, axis=-2, keepdims=True), x, np.zeros((), x.dtype))

    def read_of(self, builder: Builder, matrix: Value) -> Value:
        """The part of a change of the matrix that the solution depends on."""
        return matrix

    def _again(self, builder: Builder, right: Value, transposed: bool) -> Value:
        """The same matrix with another right side, or its transpose."""
        changed: dict[str, Attribute] = {"transposed": transposed, "absorbs": True}
        operands = [*self.operands[:-1], right]
        return builder.insert(type(self)(operands, {**self.attributes, **changed})).results[0]

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        matrix, *_, right = tangents
        if matrix is not None:
            part = self.read_of(builder, matrix)
            part = transposed(builder, part) if self.transposed else part
            moved = product(builder, part, self.results[0], (True, False))
            right = total(builder, right, arith.negate(builder, moved))
        if right is None:
            return (None,)
        return (self._again(builder, right, self.transposed),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (x_bar,) = cotangents
        if x_bar is None:
            return (None,) * len(self.operands)
        x, right = self.results[0], self._again(builder, x_bar, not self.transposed)
        if self.transposed:
            outer = product(builder, x, transposed(builder, right), (False, True))
        else:
            outer = product(builder, right, transposed(builder, x), (True, False))
        matrix = self.read_of(builder, arith.negate(builder, outer))
        return (matrix, *[None] * (len(self.operands) - 2), right)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        """Right sides for one matrix become more columns."""
        *given, right = operands
        matrices, axes = align_all(builder, given)
        shared = tuple(axis for axis in right.axes if axis in axes)
        own = tuple(axis for axis in right.axes if axis not in axes)
        every = tuple(sorted({*axes, *right.axes}))
        sizes = axis_sizes(operands)
        *point, columns = shape_of(self.right.type)
        *names, last = range(-rank_of(self.right), 0)
        # The axes that the matrix does not have go among the columns.
        turned = arrange(
            builder, right.value, (*right.axes, *names, last), (*shared, *names, *own, last)
        )
        more = [sizes[axis] for axis in own]
        shape = (*(sizes[axis] for axis in shared), *point, prod(more) * columns)
        flat = Batched(tensor.reshape(builder, turned, shape), shared)
        aligned = tensor.align(builder, flat, axes, sizes)
        solved = builder.insert(type(self)([*matrices, aligned], self.attributes)).results[0]
        shape = (*(sizes[axis] for axis in axes), *point, *more, columns)
        parted = tensor.reshape(builder, solved, shape)
        labels = (*axes, *names, *own, last)
        return (Batched(arrange(builder, parted, labels, (*every, *names, last)), every),)

    def cost(self) -> Cost:
        rows = shape_of(self.right.type)[-2]
        return Cost(flops=type_of(self.right).size * rows, bytes=moved_bytes(self))


class TriangularSolve(Solver):
    """`linalg.triangular_solve`: the `x` with `matrix x = right`, or `matrixᵀ x` if `transposed`.

    Only the triangle of `matrix` is read that `lower` says, and of it not the diagonal if `unit`:
    that is ones. A zero on the diagonal is divided by.
    C1: square matrices of floats. C2: `right` is of matrices with as many rows, and agrees with
    `matrix` in element type and leading axes.
    """

    name = "linalg.triangular_solve"
    matrix = operand()
    right_side = operand()
    lower = attribute(bool, default=False)
    unit = attribute(bool, default=False)
    result = result()

    def infer(self) -> Sequence[Type]:
        matrix, right = type_of(self.matrix), type_of(self.right)
        square = matrix.rank >= 2 and matrix.shape[-1] == matrix.shape[-2]
        floats = square and matrix.dtype.is_float
        self.require(1, floats, f"{matrix} is no square matrix of floats")
        fits = right.dtype is matrix.dtype and right.shape[:-1] == matrix.shape[:-1]
        self.require(2, fits, f"{right} does not go with {matrix}")
        return (right,)

    @property
    def forward(self) -> bool:
        """Whether the first row is solved first."""
        return self.lower != self.transposed

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        matrix, right = map(np.array, operands)
        triangular = np.tril(matrix) if self.lower else np.triu(matrix)
        if self.transposed:
            triangular = swapped(triangular)
        x = right.copy()
        count = matrix.shape[-1]
        order = range(count) if self.forward else reversed(range(count))
        with np.errstate(all="ignore"):
            for i in order:
                done = slice(0, i) if self.forward else slice(i + 1, count)
                known = np.einsum("...k,...kj->...j", triangular[..., i, done], x[..., done, :])
                x[..., i, :] -= known
                if not self.unit:
                    x[..., i, :] /= triangular[..., i, i, None]
        return (self.absorbed(right, x).astype(operands[1].dtype),)

    def solved(self, builder: Builder) -> Value | None:
        if not self.absorbs:
            return None
        attributes: dict[str, Attribute] = {**self.attributes, "absorbs": False}
        return builder.insert(type(self)(self.operands, attributes)).result

    def read_of(self, builder: Builder, matrix: Value) -> Value:
        return triangle(builder, matrix, self.lower, self.unit)

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        source = self.matrix.defining_op
        if not isinstance(source, tensor.Transpose):
            return None
        rank = rank_of(self.matrix)
        if source.permutation != (*range(rank - 2), rank - 1, rank - 2):
            return None
        attributes: dict[str, Attribute] = {
            **self.attributes,
            "lower": not self.lower,
            "transposed": not self.transposed,
        }
        return builder.insert(type(self)([source.operand, self.right], attributes)).results


def triangular_solve(
    builder: Builder,
    matrix: Value,
    right: Value,
    lower: bool = False,
    transposed: bool = False,
    unit: bool = False,
    absorbs: bool = False,
) -> Value:
    """The solution of systems with triangular matrices (see `TriangularSolve`)."""
    attributes: dict[str, Attribute] = {
        "lower": lower,
        "transposed": transposed,
        "unit": unit,
        "absorbs": absorbs,
    }
    return builder.insert(TriangularSolve([matrix, right], attributes)).result
