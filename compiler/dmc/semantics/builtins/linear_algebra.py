"""Systems of equations and factorizations: of matrices in the last two axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.diagnostics.errors import Error
from dmc.dialects import arith, linalg, math, tensor
from dmc.dialects.linalg.base import (
    diagonal,
    is_diagonal,
    product,
    splat,
    transposed,
    triangle,
)
from dmc.ir import Builder, DType, Value, dtype_of, shape_of
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.builtins.call import Call
from dmc.semantics.builtins.called import ArrayFunction
from dmc.semantics.inference import same_axis
from dmc.semantics.lower.body import Body
from dmc.semantics.lower.values import Array, Lowered, Tuple
from dmc.semantics.operators import needs_float
from dmc.semantics.sizes import Size
from dmc.semantics.types import TensorType as Tensor
from dmc.semantics.types import TupleType, Type, leaves, pruned

Build = Callable[..., Sequence[Value]]
"""The results of a function, from a builder and its operands."""


def _matrix(call: Call, value: typed.Node, square: bool) -> Tensor:
    """The type of an argument that must be a matrix, or many."""
    type_ = call.tensor(value)
    shape = type_.shape
    fits = len(shape) >= 2 and all(isinstance(axis, Size) for axis in shape[-2:])
    if fits and square:
        rows, columns = list(shape)[-2:]
        fits = same_axis(call.context.facts, rows, columns)
    if not fits:
        kind = "a square matrix" if square else "a matrix"
        title = f"`{call.function}` takes {kind}, not {type_}"
        raise call.context.fail("shape.rank", title, value.span, str(type_))
    needs_float(call.context, call.function.name, value, value.span)
    return type_


def _symmetric(builder: Builder, x: Value) -> Value:
    """The symmetric part."""
    total = arith.add(builder, x, transposed(builder, x))
    return arith.multiply(builder, total, splat(builder, 0.5, x))


def _cholesky(builder: Builder, x: Value) -> Sequence[Value]:
    upper = linalg.cholesky(builder, _symmetric(builder, x))
    return [transposed(builder, upper)]


def _solve_lower(builder: Builder, matrix: Value, right: Value) -> Value:
    return linalg.triangular_solve(builder, matrix, right, lower=True)


def _solve_upper(builder: Builder, matrix: Value, right: Value) -> Value:
    return linalg.triangular_solve(builder, matrix, right)


def _cholesky_solve(builder: Builder, lower: Value, right: Value) -> Value:
    half = linalg.triangular_solve(builder, lower, right, lower=True)
    return linalg.triangular_solve(builder, lower, half, lower=True, transposed=True)


def _identity(builder: Builder, like: Value) -> Value:
    return arith.convert(builder, is_diagonal(builder, like), dtype_of(like.type))


def _inv(builder: Builder, x: Value) -> Sequence[Value]:
    return [linalg.solve(builder, x, _identity(builder, x))]


def _eliminated(builder: Builder, x: Value) -> tuple[Value, Value]:
    """The pivots of matrices, and 1 or -1 for even or odd numbers of exchanges: of inversions."""
    factors, permutation, _ = linalg.lu(builder, x)
    shape = shape_of(x.type)
    last = len(shape) - 2
    rows = tensor.broadcast_in_dim(builder, permutation, shape, range(last + 1))
    columns = tensor.broadcast_in_dim(builder, permutation, shape, (*range(last), last + 1))
    exchanged = arith.compare(builder, arith.Direction.GT, rows, columns)
    count = arith.convert(builder, triangle(builder, exchanged, lower=False), DType.I32)
    count = tensor.reduce_sum(builder, count, [last, last + 1])
    odd = arith.remainder(builder, count, splat(builder, 2, count))
    odd = arith.convert(builder, odd, dtype_of(x.type))
    parity = arith.subtract(builder, splat(builder, 1.0, odd), arith.add(builder, odd, odd))
    return diagonal(builder, factors), parity


def _product(builder: Builder, x: Value) -> Value:
    return tensor.reduce(builder, x, tensor.Kind.PROD, [len(shape_of(x.type)) - 1])


def _det(builder: Builder, x: Value) -> Sequence[Value]:
    pivots, parity = _eliminated(builder, x)
    return [arith.multiply(builder, parity, _product(builder, pivots))]


def _slogdet(builder: Builder, x: Value) -> Sequence[Value]:
    pivots, parity = _eliminated(builder, x)
    sign = arith.multiply(builder, parity, _product(builder, math.unary(builder, "sign", pivots)))
    sizes = math.log(builder, math.unary(builder, "abs", pivots))
    return [sign, tensor.reduce_sum(builder, sizes, [len(shape_of(sizes.type)) - 1])]


def _logdet(builder: Builder, x: Value) -> Sequence[Value]:
    sign, size = _slogdet(builder, x)
    negative = arith.compare(builder, arith.Direction.LT, sign, arith.zeros(builder, sign.type))
    return [arith.select(builder, negative, splat(builder, float("nan"), size), size)]


def _same(type_: Tensor) -> Type:
    return type_


def _eigh(builder: Builder, x: Value) -> Sequence[Value]:
    return linalg.eigh(builder, _symmetric(builder, x))


def _expm(builder: Builder, x: Value) -> Sequence[Value]:
    return [linalg.expm(builder, x)]


def _lstsq(builder: Builder, matrix: Value, right: Value) -> Value:
    """By the triangular factor of the matrix, or of its transpose where that is the taller one."""
    *_, rows, columns = shape_of(matrix.type)
    if rows >= columns:
        q, r = linalg.qr(builder, matrix)
        projected = product(builder, transposed(builder, q), right)
        return linalg.triangular_solve(builder, r, projected)
    q, r = linalg.qr(builder, transposed(builder, matrix))
    return product(builder, q, linalg.triangular_solve(builder, r, right, transposed=True))


def _number(type_: Tensor) -> Tensor:
    return Tensor(type_.element, type_.shape[:-2])


def _two_numbers(type_: Tensor) -> Type:
    return TupleType((_number(type_), _number(type_)))


@dataclass(frozen=True, eq=False)
class _Factors(ArrayFunction):
    """A function of a matrix; `results` are types by that of the matrix."""

    square: bool = True
    results: Callable[[Tensor], Type] = _same
    build: Build = _inv

    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        type_ = _matrix(call, values[0], self.square)
        return self.apply(self.results(type_), call.span, values)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        out = self.build(body.builder, *(body.array(operand) for operand in node.operands))
        return Array(out[0]) if len(out) == 1 else Tuple(tuple(map(Array, out)))


@dataclass(frozen=True, eq=False)
class _System(ArrayFunction):
    """The solution of systems: a right side has an axis less than the matrix, or as many."""

    arity: int | None = 2
    square: bool = True
    build: Callable[[Builder, Value, Value], Value] = linalg.solve

    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        matrix = _matrix(call, values[0], self.square)
        right = call.tensor(values[1])
        *lead, rows, unknowns = matrix.shape
        many = right.shape[-1:] if len(right.shape) >= len(matrix.shape) else ()
        wanted = Tensor(matrix.element, (*lead, rows, *many))
        expect(call.context, values[1], wanted, values[1].span, f"the right side of `{self}`")
        return self.apply(Tensor(matrix.element, (*lead, unknowns, *many)), call.span, values)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        matrix, right = (body.array(operand) for operand in node.operands)
        builder, shape = body.builder, shape_of(right.type)
        single = len(shape) < len(shape_of(matrix.type))
        if single:
            right = tensor.reshape(builder, right, (*shape, 1))
        x = self.build(builder, matrix, right)
        return Array(tensor.reshape(builder, x, shape_of(x.type)[:-1]) if single else x)


def _qr(builder: Builder, x: Value) -> Sequence[Value]:
    """Of a wide matrix by its leading square: what is right of it is turned by the same `q`."""
    *lead, rows, columns = shape_of(x.type)
    if rows >= columns:
        return linalg.qr(builder, x)
    axis = len(lead) + 1
    q, r = linalg.qr(builder, tensor.slice_axis(builder, x, axis, 0, rows))
    rest = tensor.slice_axis(builder, x, axis, rows, columns)
    turned = product(builder, transposed(builder, q), rest)
    return q, tensor.concatenate(builder, [r, turned], axis)


def _svd(builder: Builder, x: Value) -> Sequence[Value]:
    """Of a wide matrix by its transpose."""
    rows, columns = shape_of(x.type)[-2:]
    if rows >= columns:
        return linalg.svd(builder, x)
    left, values, right = linalg.svd(builder, transposed(builder, x))
    return transposed(builder, right), values, transposed(builder, left)


def _two_factors(type_: Tensor, wide: bool) -> tuple[Tensor, Tensor]:
    """The types of a factor of as many rows as the matrix, and of one of as many columns.

    Between them is the smaller of its axes.
    """
    *lead, rows, columns = type_.shape
    least = rows if wide else columns
    shapes = (*lead, rows, least), (*lead, least, columns)
    left, right = (Tensor(type_.element, shape) for shape in shapes)
    return left, right


def _values(type_: Tensor) -> Tensor:
    return Tensor(type_.element, type_.shape[:-1])


def _eigen(type_: Tensor) -> Type:
    return TupleType((_values(type_), type_))


def _three_factors(type_: Tensor, wide: bool) -> tuple[Tensor, ...]:
    left, right = _two_factors(type_, wide)
    return left, Tensor(type_.element, right.shape[:-1]), right


@dataclass(frozen=True, eq=False)
class _ThinFactors(ArrayFunction):
    """Factors that meet in the smaller axis of a matrix: that of columns, unless facts say more.

    `factors` are types by that of the matrix, and by whether it is known to be wide.
    """

    factors: Callable[[Tensor, bool], tuple[Tensor, ...]] = _two_factors
    build: Build = _qr

    def type_call(self, call: Call, values: Sequence[typed.Node]) -> typed.Node:
        type_ = _matrix(call, values[0], square=False)
        rows, columns = list(type_.shape)[-2:]
        assert isinstance(rows, Size)
        assert isinstance(columns, Size)
        facts = call.context.facts
        wide = bool(facts.at_most(rows, columns)) and not facts.at_most(columns, rows)
        return self.apply(TupleType(self.factors(type_, wide)), call.span, values)

    def lower(self, body: Body, node: typed.Builtin) -> Lowered:
        x = body.array(node.operands[0])
        out = self.build(body.builder, x)
        first = next(leaves(body.type(node))).type
        assert isinstance(first, Tensor)
        if first.shape[-1] != Size.of(shape_of(out[0].type)[-1]):
            raise self._refuse(body, node, x)
        return Tuple(tuple(map(Array, out)))

    def _refuse(self, body: Body, node: typed.Builtin, x: Value) -> Error:
        """The error for a matrix that is wide where the program took it for one that is not."""
        rows, columns = shape_of(x.type)[-2:]
        type_ = pruned(node.operands[0].type)
        assert isinstance(type_, Tensor)
        tall, broad = type_.shape[-2:]
        title = f"`{self}` takes no fewer rows than columns here, not {rows} and {columns}"
        help_ = f"of wide matrices, say so: `requires {tall} <= {broad}`"
        return body.fail("shape.rank", title, node.span, help=[help_])


SOLVE = _System("solve", "`solve(a, b)`: the x with `a @ x = b`, of a square matrix")
SOLVE_LOWER = _System(
    "solve_lower",
    "`solve_lower(l, b)`: the x with `l @ x = b`; above its diagonal `l` is not read",
    build=_solve_lower,
)
SOLVE_UPPER = _System(
    "solve_upper",
    "`solve_upper(u, b)`: the x with `u @ x = b`; below its diagonal `u` is not read",
    build=_solve_upper,
)
CHOLESKY = _Factors(
    "cholesky",
    "`cholesky(a)`: the lower triangular `l` with `l @ l.T = a`, for positive definite `a`",
    build=_cholesky,
)
CHOLESKY_SOLVE = _System(
    "cholesky_solve",
    "`cholesky_solve(l, b)`: the x with `l @ l.T @ x = b`, from `l = cholesky(a)`",
    build=_cholesky_solve,
)
INV = _Factors("inv", "`inv(a)`: the inverse matrix", build=_inv)
DET = _Factors("det", "`det(a)`: the determinant of a square matrix", results=_number, build=_det)
SLOGDET = _Factors(
    "slogdet",
    "`slogdet(a)`: the sign of the determinant, and the logarithm of its size",
    results=_two_numbers,
    build=_slogdet,
)
LOGDET = _Factors(
    "logdet",
    "`logdet(a)`: the logarithm of the determinant, NaN where that is negative",
    results=_number,
    build=_logdet,
)
QR = _ThinFactors(
    "qr",
    "`qr(a)`: orthonormal columns `q` and an upper triangular `r`, with `q @ r = a`",
)
EIGH = _Factors(
    "eigh",
    "`eigh(a)`: the eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns",
    results=_eigen,
    build=_eigh,
)
SVD = _ThinFactors(
    "svd",
    "`svd(a)`: orthonormal columns `u`, singular values `s`, descending, and orthonormal rows `v`, "
    "with `(u * s) @ v = a`",
    factors=_three_factors,
    build=_svd,
)
EXPM = _Factors("expm", "`expm(a)`: the exponential of a square matrix", build=_expm)
LSTSQ = _System(
    "lstsq",
    "`lstsq(a, b)`: the x with the least `sum((a @ x - b) ** 2)`, and the least `sum(x ** 2)` if "
    "there are many, of a matrix of full rank",
    square=False,
    build=_lstsq,
)
LINEAR_ALGEBRA = (
    CHOLESKY,
    SOLVE,
    SOLVE_LOWER,
    SOLVE_UPPER,
    CHOLESKY_SOLVE,
    INV,
    DET,
    LOGDET,
    SLOGDET,
    LSTSQ,
    QR,
    EIGH,
    SVD,
    EXPM,
)
