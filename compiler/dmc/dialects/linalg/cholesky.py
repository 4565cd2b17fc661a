"""`linalg`: the triangular factor of positive definite matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects.linalg.base import (
    Factorization,
    folded,
    halved_triangle,
    mirrored,
    product,
    transposed,
)
from dmc.dialects.linalg.triangular import triangular_solve
from dmc.ir import Array, Builder, Interpreter, Type, Value, result


class Cholesky(Factorization):
    """`linalg.cholesky`: the upper triangular `u` with `uᵀ u = matrix`, and a positive diagonal.

    Only the upper triangle of the symmetric operand is read. Where it is not positive definite,
    `u` is NaN from the row of the first pivot on that is not positive.
    C1: square matrices of floats.
    """

    name = "linalg.cholesky"
    result = result()

    def infer(self) -> Sequence[Type]:
        return (self.require_matrix(1, square=True),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        a = np.array(operands[0])
        u = np.zeros_like(a)
        with np.errstate(all="ignore"):
            for i in range(self.rows):
                above = u[..., :i, i]
                rest = a[..., i, i:] - np.einsum("...k,...kj->...j", above, u[..., :i, i:])
                pivot = rest[..., :1]
                root = np.sqrt(np.where(pivot > 0, pivot, np.nan))
                u[..., i, i:] = rest / root
                u[..., i, i : i + 1] = root
        return (u.astype(operands[0].dtype),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        """`u̇ = Φ(u⁻ᵀ ȧ u⁻¹) u`, where Φ takes the upper triangle and half of the diagonal."""
        (a,) = tangents
        if a is None:
            return (None,)
        u, a = self.result, mirrored(builder, a)
        half = triangular_solve(builder, u, a, transposed=True, absorbs=True)
        half = transposed(builder, half)
        whole = triangular_solve(builder, u, half, transposed=True, absorbs=True)
        return (product(builder, halved_triangle(builder, whole), u, (True, False)),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        """`ā = u⁻¹ Φ(ū uᵀ) u⁻ᵀ`, folded into the triangle that is read."""
        (u_bar,) = cotangents
        if u_bar is None:
            return (None,)
        u = self.result
        inner = product(builder, u_bar, transposed(builder, u), (True, False))
        half = triangular_solve(builder, u, halved_triangle(builder, inner), absorbs=True)
        half = transposed(builder, half)
        whole = triangular_solve(builder, u, half, absorbs=True)
        return (folded(builder, whole),)

    def work(self) -> int:
        return self.rows**3 // 3


def cholesky(builder: Builder, matrix: Value) -> Value:
    """The upper triangular `u` with `uᵀ u = matrix`."""
    return builder.insert(Cholesky([matrix])).result
