"""`linalg`: eigenvalues of symmetric matrices, and singular values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith
from dmc.dialects.linalg.base import (
    Factorization,
    along_columns,
    along_rows,
    diagonal,
    folded,
    is_diagonal,
    mirrored,
    on_diagonal,
    product,
    splat,
    swapped,
    total,
    transposed,
)
from dmc.ir import Array, Builder, Interpreter, TensorType, Type, Value, result, shape_of


def _largest_positive(columns: Array, *others: Array) -> None:
    """Turn columns round whose first largest element is negative, and others with them."""
    place = np.argmax(np.abs(columns), axis=-2)[..., None, :]
    negative = np.take_along_axis(columns, place, -2) < 0
    for array in (columns, *others):
        np.negative(array, out=array, where=np.broadcast_to(negative, array.shape))


def _pairs(builder: Builder, values: Value) -> tuple[Value, Value]:
    """`values[j] - values[i]` and `values[j] + values[i]`."""
    count = shape_of(values.type)[-1]
    rows, columns = along_rows(builder, values, count), along_columns(builder, values, count)
    return arith.subtract(builder, rows, columns), arith.add(builder, rows, columns)


def _half_over(builder: Builder, x: Value) -> Value:
    """`1 / (2 x)` off the diagonal, and zeros on it."""
    on = is_diagonal(builder, x)
    divisor = arith.select(builder, on, splat(builder, 1.0, x), x)
    inverse = arith.divide(builder, splat(builder, 0.5, x), divisor)
    return arith.select(builder, on, arith.zeros(builder, x.type), inverse)


def _twice_skew(builder: Builder, x: Value) -> Value:
    """`x - xᵀ`, which vanishes for what does not depend on how equal values share vectors."""
    return arith.subtract(builder, x, transposed(builder, x))


class Eigh(Factorization):
    """`linalg.eigh`: eigenvalues of symmetric matrices, ascending, and eigenvectors as columns.

    Only the upper triangle is read. Of the elements of an eigenvector the first of the largest is
    positive. What does not converge is NaN. The derivative of eigenvectors divides by the
    differences of eigenvalues: where these are zero, it is infinite or NaN, unless what it
    multiplies is zero.
    C1: square matrices of floats.
    """

    name = "linalg.eigh"
    values = result()
    vectors = result()

    def infer(self) -> Sequence[Type]:
        type_ = self.require_matrix(1, square=True)
        return (TensorType(type_.shape[:-1], type_.dtype), type_)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (matrix,) = operands
        a = np.array(matrix)
        values, vectors = np.full(a.shape[:-1], np.nan, a.dtype), np.full_like(a, np.nan)
        for at in np.ndindex(a.shape[:-2]):
            upper = np.triu(a[at])
            if np.isfinite(upper).all():
                values[at], vectors[at] = np.linalg.eigh(upper, "U")
        _largest_positive(vectors)
        return (values.astype(matrix.dtype), vectors.astype(matrix.dtype))

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        """With `d = vᵀ ȧ v`: the diagonal of `d`, and `v` times `d` over the differences."""
        (a,) = tangents
        if a is None:
            return (None, None)
        v = self.vectors
        half = product(builder, transposed(builder, v), mirrored(builder, a), (False, True))
        d = product(builder, half, v, (True, False))
        gaps, _ = _pairs(builder, self.values)
        twice = arith.add(builder, d, d)
        mixed = arith.guarded_multiply(builder, twice, _half_over(builder, gaps))
        return (diagonal(builder, d), product(builder, v, mixed, (False, True)))

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        values_bar, vectors_bar = cotangents
        v = self.vectors
        inner = None if values_bar is None else on_diagonal(builder, values_bar)
        if vectors_bar is not None:
            part = product(builder, transposed(builder, v), vectors_bar, (False, True))
            gaps, _ = _pairs(builder, self.values)
            turn = _twice_skew(builder, part)
            turn = arith.guarded_multiply(builder, turn, _half_over(builder, gaps))
            inner = total(builder, inner, turn)
        if inner is None:
            return (None,)
        half = product(builder, v, inner, (False, True))
        whole = product(builder, half, transposed(builder, v), (True, False))
        return (folded(builder, whole),)

    def work(self) -> int:
        return 9 * self.rows**3


class SVD(Factorization):
    """`linalg.svd`: `matrix = left diag(values) rightᵀ`, with orthonormal columns of `left`.

    Singular values descend. Of the elements of a column of `left` the first of the largest is
    positive; `right` is square, and given transposed. What does not converge is NaN. The derivative
    of the factors divides by the differences and sums of values, and by values if there are more
    rows than columns: where these are zero, it is infinite or NaN, unless what it multiplies is
    zero.
    C1: matrices of floats. C2: they have no fewer rows than columns.
    """

    name = "linalg.svd"
    left = result()
    values = result()
    right = result()

    def infer(self) -> Sequence[Type]:
        type_ = self.require_matrix(1)
        *lead, rows, columns = type_.shape
        self.require(2, rows >= columns, f"{type_} has more columns than rows")
        square = TensorType((*lead, columns, columns), type_.dtype)
        return (type_, TensorType((*lead, columns), type_.dtype), square)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (matrix,) = operands
        a = np.array(matrix)
        left, values = np.full_like(a, np.nan), np.full_like(a[..., 0, :], np.nan)
        right = np.full((*values.shape, values.shape[-1]), np.nan, a.dtype)
        for at in np.ndindex(a.shape[:-2]):
            if np.isfinite(a[at]).all():
                left[at], values[at], right[at] = np.linalg.svd(a[at], full_matrices=False)
        _largest_positive(left, swapped(right))
        return tuple(array.astype(matrix.dtype) for array in (left, values, right))

    def _tall(self) -> bool:
        return self.rows > self.columns

    def _outside(self, builder: Builder, x: Value) -> Value:
        """What of columns is not in the span of `left`, over the singular values."""
        inside = product(builder, transposed(builder, self.left), x, (False, True))
        rest = arith.subtract(builder, x, product(builder, self.left, inside, (False, True)))
        one = splat(builder, 1.0, self.values)
        inverse = along_rows(builder, arith.divide(builder, one, self.values), self.rows)
        return arith.guarded_multiply(builder, rest, inverse)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        """With `d = uᵀ ȧ v`: `d + dᵀ` over differences of values turns both factors alike.

        `d - dᵀ` over sums turns `u` forwards and `v` back. With differences of squares, as these
        formulas are usually written, that part would be lost where values are equal.
        """
        (a,) = tangents
        if a is None:
            return (None, None, None)
        u, v = self.left, transposed(builder, self.right)
        along = product(builder, a, v, (True, False))
        d = product(builder, transposed(builder, u), along, (False, True))
        differences, sums = (_half_over(builder, x) for x in _pairs(builder, self.values))
        even = arith.add(builder, d, transposed(builder, d))
        even = arith.guarded_multiply(builder, even, differences)
        odd = arith.guarded_multiply(builder, _twice_skew(builder, d), sums)
        u_dot = product(builder, u, arith.add(builder, even, odd), (False, True))
        if self._tall():
            u_dot = arith.add(builder, u_dot, self._outside(builder, along))
        v_dot = product(builder, v, arith.subtract(builder, even, odd), (False, True))
        return (u_dot, diagonal(builder, d), transposed(builder, v_dot))

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        u_bar, values_bar, right_bar = cotangents
        inner = None if values_bar is None else on_diagonal(builder, values_bar)
        of_u = of_v = None
        if u_bar is not None:
            of_u = product(builder, transposed(builder, self.left), u_bar, (False, True))
        if right_bar is not None:
            of_v = product(builder, self.right, transposed(builder, right_bar), (False, True))
        back = None if of_v is None else arith.negate(builder, of_v)
        for other, x in zip((of_v, back), _pairs(builder, self.values), strict=True):
            turn = total(builder, of_u, other)
            if turn is not None:
                turn = _twice_skew(builder, turn)
                turn = arith.guarded_multiply(builder, turn, _half_over(builder, x))
                inner = total(builder, inner, turn)
        if inner is None:
            return (None,)
        left = product(builder, self.left, inner, (False, True))
        if u_bar is not None and self._tall():
            left = arith.add(builder, left, self._outside(builder, u_bar))
        return (product(builder, left, self.right, (True, False)),)

    def work(self) -> int:
        return 12 * self.rows * self.columns**2


def eigh(builder: Builder, matrix: Value) -> tuple[Value, Value]:
    """Eigenvalues and eigenvectors (see `Eigh`)."""
    op = builder.insert(Eigh([matrix]))
    return op.values, op.vectors


def svd(builder: Builder, matrix: Value) -> tuple[Value, Value, Value]:
    """Factors and singular values (see `SVD`)."""
    op = builder.insert(SVD([matrix]))
    return op.left, op.values, op.right
