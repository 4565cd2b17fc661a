"""`linalg`: the exponential of matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2

import numpy as np

from dmc.dialects import arith, control, math, tensor
from dmc.dialects.arith import Direction
from dmc.dialects.linalg.base import (
    Composed,
    Factorization,
    is_diagonal,
    product,
    selected,
    splat,
    transposed,
)
from dmc.dialects.linalg.lu import eliminated, lu
from dmc.dialects.tensor.base import rank_of
from dmc.dialects.tensor.batching import align_all
from dmc.ir import (
    Array,
    Batched,
    Block,
    Builder,
    DType,
    Interpreter,
    Type,
    Value,
    dtype_of,
    operand,
    result,
    shape_of,
)

_COEFFICIENTS = {
    DType.F64: (
        64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
        129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
        40840800.0, 960960.0, 16380.0, 182.0, 1.0,
    ),
    DType.F32: (17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0),
}  # fmt: skip
"""Of the approximants of Padé of degree 13 and 7."""

_LARGEST_NORM = {DType.F64: 5.371920351148152, DType.F32: 3.925724783138660}
"""For which the approximants are exact to rounding."""

_MOST_SQUARINGS = 1100
"""More than any finite matrix needs."""


def _exponential(a: Array) -> Array:
    """By squaring a Taylor series, whose terms fall by four from one to the next at least."""
    norm = float(np.max(np.sum(np.abs(a), axis=-2), initial=0.0))
    if not np.isfinite(norm):
        return np.full_like(a, np.nan)
    squarings = max(0, int(np.ceil(log2(norm))) + 3) if norm else 0
    small = a / 2.0**squarings
    term = out = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
    for k in range(1, 20):
        term = term @ small / k
        out = out + term
    for _ in range(squarings):
        out = out @ out
    return out.astype(a.dtype)


def _each(a: Array) -> Array:
    out = np.empty(a.shape, np.float64)
    with np.errstate(all="ignore"):
        for at in np.ndindex(a.shape[:-2]):
            out[at] = _exponential(a[at].astype(np.float64))
        return out.astype(a.dtype)


class Expm(Composed, Factorization):
    """`linalg.expm`: the exponential of square matrices.

    By scaling, an approximant of Padé, and squaring: Higham, "The scaling and squaring method for
    the matrix exponential revisited" (2005).
    C1: square matrices of floats.
    """

    name = "linalg.expm"
    result = result()

    def infer(self) -> Sequence[Type]:
        return (self.require_matrix(1, square=True),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (_each(operands[0]),)

    def expanded(self, builder: Builder) -> Value:
        return _approximated(builder, self.matrix)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (a,) = tangents
        return (None if a is None else expm_derivative(builder, self.matrix, a),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (bar,) = cotangents
        if bar is None:
            return (None,)
        return (expm_derivative(builder, transposed(builder, self.matrix), bar),)

    def work(self) -> int:
        return 10 * self.rows**3


class ExpmDerivative(Composed, Factorization):
    """`linalg.expm_derivative`: the derivative of the exponential of `matrix` in a direction.

    It is a block of an exponential of twice the size (Najfeld and Havel, "Derivatives of the matrix
    exponential and their computation", 1995); and so is its own. A direction of zeros absorbs.
    C1: square matrices of floats. C2: directions are of their type.
    """

    name = "linalg.expm_derivative"
    direction = operand()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = self.require_matrix(1, square=True)
        self.require(2, self.direction.type == type_, "the direction has another type")
        return (type_,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        a, e = operands
        n = self.rows
        whole = np.concatenate(
            [np.concatenate([a, e], -1), np.concatenate([np.zeros_like(a), a], -1)], -2
        )
        out = _each(whole)[..., :n, n:]
        counts = np.any(e != 0, axis=(-1, -2), keepdims=True)
        return (np.where(counts, out, np.zeros_like(out)),)

    def expanded(self, builder: Builder) -> Value:
        whole = _blocks(builder, self.matrix, self.direction, self.matrix)
        out = _block(builder, _approximated(builder, whole), 0, 1)
        rank = rank_of(out)
        return selected(builder, out, self.direction, [rank - 2, rank - 1])

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        a_dot, e_dot = tangents
        zero = arith.zeros(builder, self.matrix.type)
        if a_dot is None:
            if e_dot is None:
                return (None,)
            return (expm_derivative(builder, self.matrix, e_dot),)
        whole = _blocks(builder, self.matrix, self.direction, self.matrix)
        moved = _blocks(builder, a_dot, zero if e_dot is None else e_dot, a_dot)
        return (_block(builder, expm_derivative(builder, whole, moved), 0, 1),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (bar,) = cotangents
        if bar is None:
            return (None, None)
        zero = arith.zeros(builder, bar.type)
        whole = _blocks(builder, self.matrix, self.direction, self.matrix)
        moved = _blocks(builder, zero, bar, zero)
        out = expm_derivative(builder, transposed(builder, whole), moved)
        a_bar = arith.add(builder, _block(builder, out, 0, 0), _block(builder, out, 1, 1))
        return (a_bar, _block(builder, out, 0, 1))

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        values, axes = align_all(builder, operands)
        return (Batched(builder.insert(ExpmDerivative(values)).result, axes),)

    def work(self) -> int:
        return 80 * self.rows**3


def _blocks(builder: Builder, left: Value, above: Value, right: Value) -> Value:
    """Matrices of two by two blocks, with zeros at the lower left."""
    rank = rank_of(left)
    zero = arith.zeros(builder, left.type)
    rows = [tensor.concatenate(builder, row, rank - 1) for row in ((left, above), (zero, right))]
    return tensor.concatenate(builder, rows, rank - 2)


def _block(builder: Builder, x: Value, i: int, j: int) -> Value:
    rank = rank_of(x)
    n = shape_of(x.type)[-1] // 2
    x = tensor.slice_axis(builder, x, rank - 2, i * n, (i + 1) * n)
    return tensor.slice_axis(builder, x, rank - 1, j * n, (j + 1) * n)


def _approximated(builder: Builder, a: Value) -> Value:
    """The exponential by other operations; of nothing, nothing."""
    if 0 in shape_of(a.type):
        return a
    dtype = dtype_of(a.type)
    rank = rank_of(a)
    sizes = tensor.reduce_sum(builder, math.unary(builder, "abs", a), [rank - 2])
    norm = tensor.reduce(builder, sizes, tensor.Kind.MAX, [rank - 2])
    ratio = arith.divide(builder, norm, splat(builder, _LARGEST_NORM[dtype], norm))
    exponent = arith.divide(
        builder, math.log(builder, ratio), splat(builder, float(np.log(2.0)), ratio)
    )
    squarings = arith.convert(builder, math.unary(builder, "ceil", exponent), DType.I64)
    squarings = arith.maximum(builder, squarings, splat(builder, 0, squarings))
    squarings = arith.minimum(builder, squarings, splat(builder, _MOST_SQUARINGS, squarings))
    most = tensor.reduce(builder, squarings, tensor.Kind.MAX, range(rank - 2))

    def halved(b: Builder, k: Value, scale: Value) -> Value:
        half = arith.multiply(b, scale, splat(b, 0.5, scale))
        return _where_more(b, k, squarings, half, scale)

    scale = _repeated(builder, most, arith.ones(builder, norm.type), halved)
    spread = tensor.broadcast_in_dim(builder, scale, shape_of(a.type), range(rank - 2))
    out = _approximant(builder, arith.multiply(builder, a, spread))

    def squared(b: Builder, k: Value, x: Value) -> Value:
        return _where_more(b, k, squarings, product(b, x, x), x)

    return _repeated(builder, most, out, squared)


def _where_more(b: Builder, k: Value, count: Value, x: Value, y: Value) -> Value:
    """`x` for the matrices for which `k` is below a count, `y` for others."""
    spread = tensor.broadcast_in_dim(b, k, shape_of(count.type), ())
    more = arith.compare(b, Direction.LT, spread, count)
    dims = range(rank_of(count))
    return arith.select(b, tensor.broadcast_in_dim(b, more, shape_of(x.type), dims), x, y)


Step = Callable[[Builder, Value, Value], Value]
"""What follows from the number of a repetition and a value."""


def _repeated(builder: Builder, count: Value, init: Value, step: Step) -> Value:
    """A loop that carries one value."""
    body = Block([count.type, init.type])
    inside = Builder(body, location=builder.location)
    control.make_yield(inside, [step(inside, *body.args)])
    return control.make_for(builder, count, [init], [], body).results[0]


def _approximant(builder: Builder, a: Value) -> Value:
    """Padé's approximant of the exponential of small matrices."""
    coefficients = _COEFFICIENTS[dtype_of(a.type)]
    one = arith.convert(builder, is_diagonal(builder, a), dtype_of(a.type))
    second = product(builder, a, a)
    fourth = product(builder, second, second)
    powers = [one, second, fourth, product(builder, fourth, second)]

    def series(numbers: Sequence[float], terms: Sequence[Value]) -> Value:
        parts = [
            arith.multiply(builder, splat(builder, number, term), term)
            for number, term in zip(numbers, terms, strict=True)
        ]
        total = parts[0]
        for part in parts[1:]:
            total = arith.add(builder, total, part)
        return total

    def polynomial(numbers: Sequence[float]) -> Value:
        low = series(numbers[:4], powers)
        if len(numbers) == 4:
            return low
        high = product(builder, powers[3], series(numbers[4:], powers[1:]))
        return arith.add(builder, low, high)

    odd = product(builder, a, polynomial(coefficients[1::2]))
    even = polynomial(coefficients[::2])
    factors, permutation, _ = lu(builder, arith.subtract(builder, even, odd))
    return eliminated(builder, factors, permutation, arith.add(builder, even, odd))


def expm(builder: Builder, matrix: Value) -> Value:
    """The exponential of square matrices."""
    return builder.insert(Expm([matrix])).result


def expm_derivative(builder: Builder, matrix: Value, direction: Value) -> Value:
    """The derivative of the exponential in a direction."""
    return builder.insert(ExpmDerivative([matrix, direction])).result
