"""`linalg`: elimination with row exchanges, and general systems."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith, autodiff, tensor
from dmc.dialects.linalg.base import (
    Factorization,
    is_diagonal,
    product,
    splat,
    swapped,
    transposed,
    triangle,
)
from dmc.dialects.linalg.triangular import Solver, triangular_solve
from dmc.dialects.tensor.base import rank_of, type_of
from dmc.ir import (
    Array,
    Attribute,
    Builder,
    DType,
    Interpreter,
    TensorType,
    Type,
    Value,
    operand,
    result,
)


class LU(Factorization):
    """`linalg.lu`: `matrix` with its rows in the order `permutation` is `l u`.

    `l` is below the diagonal of `factors`, with ones on its own, and `u` above and on it. The pivot
    is the first of the largest elements of a column; one that is zero is not divided by.
    `permutation` and its inverse are `i32`.
    C1: square matrices of floats.
    """

    name = "linalg.lu"
    factors = result()
    permutation = result()
    inverse = result()

    def infer(self) -> Sequence[Type]:
        type_ = self.require_matrix(1, square=True)
        order = TensorType(type_.shape[:-1], DType.I32)
        return (type_, order, order)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (matrix,) = operands
        factors = np.array(matrix)
        count = self.rows
        permutation = np.broadcast_to(np.arange(count, dtype=np.int32), matrix.shape[:-1]).copy()
        with np.errstate(all="ignore"):
            for at in np.ndindex(matrix.shape[:-2]):
                _eliminate(factors[at], permutation[at])
        inverse = np.argsort(permutation, axis=-1).astype(np.int32)
        return (factors.astype(matrix.dtype), permutation, inverse)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        """With `f = l⁻¹ ȧ u⁻¹`, `l̇` is `l` times the part of `f` below its diagonal."""
        (a,) = tangents
        if a is None:
            return (None, None, None)
        factors = self.factors
        permuted = reordered(builder, a, self.permutation)
        f = triangular_solve(builder, factors, permuted, lower=True, unit=True, absorbs=True)
        f = transposed(builder, f)
        f = triangular_solve(builder, factors, f, transposed=True, absorbs=True)
        f = transposed(builder, f)
        below = triangle(builder, f, lower=True, strict=True)
        above = triangle(builder, f, lower=False)
        of_lower = product(builder, self._lower(builder), below, (False, True))
        of_upper = product(builder, above, self._upper(builder), (True, False))
        return (arith.add(builder, of_lower, of_upper), None, None)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        bar, _, _ = cotangents
        if bar is None:
            return (None,)
        below = triangle(builder, bar, lower=True, strict=True)
        above = triangle(builder, bar, lower=False)
        of_lower = product(builder, transposed(builder, self._lower(builder)), below, (False, True))
        of_upper = product(builder, above, transposed(builder, self._upper(builder)), (True, False))
        f = arith.add(
            builder,
            triangle(builder, of_lower, lower=True, strict=True),
            triangle(builder, of_upper, lower=False),
        )
        flags = {"lower": True, "unit": True}
        f = triangular_solve(builder, self.factors, f, transposed=True, absorbs=True, **flags)
        f = transposed(builder, f)
        f = triangular_solve(builder, self.factors, f, absorbs=True)
        return (reordered(builder, transposed(builder, f), self.inverse),)

    def _lower(self, builder: Builder) -> Value:
        below = triangle(builder, self.factors, lower=True, strict=True)
        one = splat(builder, 1.0, below)
        return arith.select(builder, is_diagonal(builder, below), one, below)

    def _upper(self, builder: Builder) -> Value:
        return triangle(builder, self.factors, lower=False)

    def work(self) -> int:
        return self.rows**3 * 2 // 3


def _eliminate(a: Array, permutation: Array) -> None:
    """Factor one matrix in place."""
    for k in range(len(a)):
        pivot = k + int(np.argmax(np.abs(a[k:, k])))
        a[[k, pivot]] = a[[pivot, k]]
        permutation[[k, pivot]] = permutation[[pivot, k]]
        if a[k, k] != 0:
            a[k + 1 :, k] /= a[k, k]
        a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])


class Solve(Solver):
    """`linalg.solve`: the `x` with `matrix x = right`; `matrixᵀ x = right` if `transposed`.

    The others are the results of `linalg.lu` of the same matrix, which are no more than a means to
    compute `x`: it has no derivative by them, but by `matrix`.
    C1: square matrices of floats, and factors of that type. C2: `right` is of matrices with as many
    rows, and agrees with `matrix` in element type and leading axes.
    """

    name = "linalg.solve"
    matrix = operand()
    factors = operand()
    permutation = operand()
    inverse = operand()
    right_side = operand()
    result = result()

    def infer(self) -> Sequence[Type]:
        matrix, right = type_of(self.matrix), type_of(self.right)
        square = matrix.rank >= 2 and matrix.shape[-1] == matrix.shape[-2]
        factored = self.factors.type == matrix and matrix.dtype.is_float
        self.require(1, square and factored, f"{matrix} is no square matrix of floats")
        fits = right.dtype is matrix.dtype and right.shape[:-1] == matrix.shape[:-1]
        self.require(2, fits, f"{right} does not go with {matrix}")
        return (right,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        matrix, right = np.array(operands[0]), np.array(operands[-1])
        if self.transposed:
            matrix = swapped(matrix)
        x = np.full_like(right, np.nan)
        for at in np.ndindex(matrix.shape[:-2]):
            with contextlib.suppress(np.linalg.LinAlgError):
                x[at] = np.linalg.solve(matrix[at], right[at])
        return (self.absorbed(right, x).astype(operands[-1].dtype),)

    def solved(self, builder: Builder) -> Value:
        factors = self.factors
        if not self.transposed:
            return eliminated(builder, factors, self.permutation, self.right)
        right = triangular_solve(builder, factors, self.right, transposed=True)
        right = triangular_solve(builder, factors, right, lower=True, transposed=True, unit=True)
        return reordered(builder, right, self.inverse)


def eliminated(builder: Builder, factors: Value, permutation: Value, right: Value) -> Value:
    """The solution of systems with matrices that are factored."""
    right = reordered(builder, right, permutation)
    right = triangular_solve(builder, factors, right, lower=True, unit=True)
    return triangular_solve(builder, factors, right)


def reordered(builder: Builder, x: Value, order: Value) -> Value:
    """The rows of matrices in another order, of each its own."""
    rank = rank_of(x)
    lead = range(rank - 2)
    return tensor.gather(builder, x, [order], [rank - 2], lead, lead)


def lu(builder: Builder, matrix: Value) -> tuple[Value, Value, Value]:
    """The factors, the order of the rows, and its inverse (see `LU`)."""
    op = builder.insert(LU([matrix]))
    return op.factors, op.permutation, op.inverse


def solve(builder: Builder, matrix: Value, right: Value, transposed: bool = False) -> Value:
    """The solution of general systems. What factors `matrix` is shared by systems with it."""
    fixed = builder.insert(autodiff.StopGradient([matrix])).result
    attributes: dict[str, Attribute] = {"transposed": transposed}
    return builder.insert(Solve([matrix, *lu(builder, fixed), right], attributes)).result
