"""`linalg`: orthonormal columns times a triangular matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith
from dmc.dialects.linalg.base import (
    Factorization,
    mirrored,
    product,
    total,
    transposed,
    triangle,
)
from dmc.dialects.linalg.triangular import triangular_solve
from dmc.ir import Array, Builder, Interpreter, TensorType, Type, Value, result


class QR(Factorization):
    """`linalg.qr`: `matrix = q r`, with orthonormal columns of `q` and an upper triangular `r`.

    Made by Householder's reflections, whose sign is LAPACK's: an element on the diagonal of `r` is
    of the opposite sign as the one that it comes from, unless there is nothing to reflect.
    C1: matrices of floats. C2: they have no fewer rows than columns.
    """

    name = "linalg.qr"
    q = result()
    r = result()

    def infer(self) -> Sequence[Type]:
        type_ = self.require_matrix(1)
        *lead, rows, columns = type_.shape
        self.require(2, rows >= columns, f"{type_} has more columns than rows")
        return (type_, TensorType((*lead, columns, columns), type_.dtype))

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (matrix,) = operands
        with np.errstate(all="ignore"):
            q, r = np.linalg.qr(np.array(matrix))
        return (q.astype(matrix.dtype), r.astype(matrix.dtype))

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        """With `c = ȧ r⁻¹` and `s = qᵀ c`: `ṙ = (s - w) r` and `q̇ = c - q (s - w)`.

        `w` is the skew matrix that makes `s - w` triangular.
        """
        (a,) = tangents
        if a is None:
            return (None, None)
        q, r = self.q, self.r
        turned = transposed(builder, a)
        c = transposed(builder, triangular_solve(builder, r, turned, transposed=True, absorbs=True))
        s = product(builder, transposed(builder, q), c, (False, True))
        below = triangle(builder, s, lower=True, strict=True)
        upper = arith.add(builder, triangle(builder, s, lower=False), transposed(builder, below))
        q_dot = arith.subtract(builder, c, product(builder, q, upper, (False, True)))
        return (q_dot, product(builder, upper, r, (True, False)))

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        """`ā = (q̄ + q s) r⁻ᵀ`, where `s` is symmetric, with the upper triangle of `r̄ rᵀ - qᵀ q̄`."""
        q_bar, r_bar = cotangents
        q, r = self.q, self.r
        upper = None
        if r_bar is not None:
            upper = product(builder, r_bar, transposed(builder, r), (True, False))
        if q_bar is not None:
            part = product(builder, transposed(builder, q), q_bar, (False, True))
            upper = total(builder, upper, arith.negate(builder, part))
        if upper is None:
            return (None,)
        along = product(builder, q, mirrored(builder, upper), (False, True))
        c = total(builder, q_bar, along)
        assert c is not None
        solved = triangular_solve(builder, r, transposed(builder, c), absorbs=True)
        return (transposed(builder, solved),)

    def work(self) -> int:
        return 4 * self.rows * self.columns**2


def qr(builder: Builder, matrix: Value) -> tuple[Value, Value]:
    """Orthonormal columns and a triangular matrix (see `QR`)."""
    op = builder.insert(QR([matrix]))
    return op.q, op.r
