"""What every operation of `arith`, `math`, `tensor` and `linalg` means, said in JAX.

`evaluate` runs straight-line IR by these meanings, so JAX can differentiate it on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dmc.dialects import arith, linalg, math, tensor
from dmc.dialects.tensor import Combiner, Kind
from dmc.ir import AffineMap, Block, DenseElements, Operation, Value, dtype_of, shape_of
from tests.oracle.peers import jax, jnp, lax

Meaning = Callable[..., Any]
MEANINGS: dict[str, Meaning] = {}
"""By name of the operation: a function of the operation and its operands."""


def evaluate(block: Block, arguments: Sequence[Any], outputs: Sequence[Value]) -> list[Any]:
    """The `outputs` of a block whose arguments are bound."""
    values: dict[Value, Any] = dict(zip(block.args, arguments, strict=True))
    for op in block:
        out = MEANINGS[op.name](op, *(values[value] for value in op.operands))
        results = out if isinstance(out, tuple) else (out,)
        values.update(zip(op.results, results, strict=True))
    return [values[value] for value in outputs]


def meaning(name: str) -> Callable[[Meaning], Meaning]:
    def register(function: Meaning) -> Meaning:
        MEANINGS[name] = function
        return function

    return register


def elementwise(function: Callable[..., Any]) -> Meaning:
    return lambda _, *operands: function(*operands)


def is_float(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


# arith


def power(x: Any, y: Any) -> Any:
    """Of integers to negative exponents the whole part of the quotient, which JAX leaves open."""
    if is_float(x):
        return jnp.power(x, y)
    unit = jnp.abs(x) == 1
    whole = jnp.power(x, jnp.where(y < 0, jnp.where(unit, -y, 0), y))
    return jnp.where((y < 0) & ~unit, 0, whole)


def truncated_quotient(x: Any, y: Any) -> Any:
    if is_float(x):
        return x / y
    return jnp.where(y == 0, 0, lax.div(x, jnp.where(y == 0, 1, y)))


def floored_quotient(x: Any, y: Any) -> Any:
    if is_float(x):
        return jnp.floor(x / y)
    return jnp.where(y == 0, 0, jnp.floor_divide(x, jnp.where(y == 0, 1, y)))


def remainder(x: Any, y: Any) -> Any:
    if is_float(x):
        return jnp.remainder(x, y)
    return jnp.where(y == 0, 0, jnp.remainder(x, jnp.where(y == 0, 1, y)))


MEANINGS |= {
    f"arith.{name}": elementwise(function)
    for name, function in {
        "add": jnp.add,
        "subtract": jnp.subtract,
        "multiply": jnp.multiply,
        "divide": truncated_quotient,
        "floor_divide": floored_quotient,
        "remainder": remainder,
        "negate": jnp.negative,
        "maximum": jnp.maximum,
        "minimum": jnp.minimum,
        "relu": jax.nn.relu,
        "abs": jnp.abs,
        "sign": jnp.sign,
        "weight": lambda absent, x: jnp.where(absent, jax.lax.stop_gradient(x), x),
        "select": jnp.where,
        "and": jnp.bitwise_and,
        "or": jnp.bitwise_or,
        "xor": jnp.bitwise_xor,
        "not": jnp.bitwise_not,
        "shift_left": lax.shift_left,
        "shift_right_logical": lax.shift_right_logical,
    }.items()
}


@meaning("arith.constant")
def _constant(op: arith.Constant) -> Any:
    value = op.attributes["value"]
    array = value.array if isinstance(value, DenseElements) else value
    return jnp.asarray(array, dtype_of(op.result.type).numpy)


@meaning("arith.compare")
def _compare(op: arith.Compare, x: Any, y: Any) -> Any:
    named = {"EQ": "equal", "NE": "not_equal", "LT": "less", "LE": "less_equal"}
    named |= {"GT": "greater", "GE": "greater_equal"}
    return getattr(jnp, named[op.direction.value])(x, y)


def absorbing(lhs: bool, rhs: bool) -> Callable[[Any, Any], Any]:
    """A product in which zeros of an operand absorb what is not finite."""

    def product(x: Any, y: Any) -> Any:
        met = (lhs and (x == 0) & ~jnp.isfinite(y)) | (rhs and (y == 0) & ~jnp.isfinite(x))
        return jnp.where(met, 0.0, x * y)

    return product


MEANINGS |= {
    "arith.guarded_multiply": elementwise(absorbing(True, False)),
    "arith.doubly_guarded_multiply": elementwise(absorbing(True, True)),
}


@meaning("arith.convert")
def _convert(op: arith.Convert, x: Any) -> Any:
    return x.astype(dtype_of(op.result.type).numpy)


# math


MEANINGS |= {
    f"math.{name}": elementwise(function)
    for name, function in {
        "exp": jnp.exp,
        "expm1": jnp.expm1,
        "log": jnp.log,
        "log1p": jnp.log1p,
        "sqrt": jnp.sqrt,
        "rsqrt": lax.rsqrt,
        "sin": jnp.sin,
        "cos": jnp.cos,
        "tan": jnp.tan,
        "asin": jnp.arcsin,
        "acos": jnp.arccos,
        "atan": jnp.arctan,
        "sinh": jnp.sinh,
        "cosh": jnp.cosh,
        "tanh": jnp.tanh,
        "logistic": jax.nn.sigmoid,
        "erf": lax.erf,
        "erfc": lax.erfc,
        "erfinv": lax.erf_inv,
        "lgamma": lax.lgamma,
        "digamma": lax.digamma,
        "trigamma": lambda x: lax.polygamma(jnp.ones_like(x), x),
        "floor": jnp.floor,
        "ceil": jnp.ceil,
        "round": jnp.round,
        "power": power,
        "atan2": jnp.arctan2,
        "hypot": jnp.hypot,
    }.items()
}


@meaning("math.power_partial")
def _power_partial(op: math.PowerPartial, x: Any, y: Any) -> Any:
    function = jnp.power
    for position, order in ((0, op.base_order), (1, op.exponent_order)):
        for _ in range(order):
            function = elementwise_derivative(function, position)
    return function(x, y)


@meaning("math.polygamma")
def _polygamma(op: math.Polygamma, x: Any) -> Any:
    return lax.polygamma(jnp.full_like(x, op.order), x)


def elementwise_derivative(function: Callable[..., Any], position: int) -> Callable[..., Any]:
    def derivative(x: Any, y: Any) -> Any:
        def along(moved: Any) -> Any:
            return function(moved, y) if position == 0 else function(x, moved)

        at = (x, y)[position]
        return jax.jvp(along, (at,), (jnp.ones_like(at),))[1]

    return derivative


# tensor: shape and movement


@meaning("tensor.broadcast_in_dim")
def _broadcast(op: tensor.BroadcastInDim, x: Any) -> Any:
    order = sorted(range(x.ndim), key=lambda d: op.broadcast_dimensions[d])
    dims = [op.broadcast_dimensions[d] for d in order]
    return lax.broadcast_in_dim(x.transpose(order), op.shape, dims)


@meaning("tensor.reshape")
def _reshape(op: tensor.Reshape, x: Any) -> Any:
    return x.reshape(op.shape)


@meaning("tensor.transpose")
def _transpose(op: tensor.Transpose, x: Any) -> Any:
    return x.transpose(op.permutation)


@meaning("tensor.slice")
def _slice(op: tensor.Slice, x: Any) -> Any:
    return lax.slice(x, op.start_indices, op.limit_indices, op.strides)


@meaning("tensor.pad")
def _pad(op: tensor.Pad, x: Any, value: Any) -> Any:
    edges = zip(op.edge_padding_low, op.edge_padding_high, op.interior_padding, strict=True)
    return lax.pad(x, value, list(edges))


@meaning("tensor.concatenate")
def _concatenate(op: tensor.Concatenate, *parts: Any) -> Any:
    return jnp.concatenate(parts, op.dimension)


@meaning("tensor.reverse")
def _reverse(op: tensor.Reverse, x: Any) -> Any:
    return jnp.flip(x, op.dimensions)


def read_places(map_: AffineMap, sizes: Sequence[int], shape: Sequence[int]) -> tuple[Any, Any]:
    """Subscripts at every point of `sizes`, moved inside, and whether they were."""
    grid = np.ix_(*(np.arange(n) for n in sizes))
    at = [np.broadcast_to(expr.evaluate(grid), sizes) for expr in map_.results]
    pairs = list(zip(at, shape, strict=True))
    inside = np.ones(sizes, bool)
    for a, n in pairs:
        inside &= (a >= 0) & (a < n)
    return tuple(np.clip(a, 0, n - 1) for a, n in pairs), inside


@meaning("tensor.read")
def _read(op: tensor.Read, x: Any) -> Any:
    places, inside = read_places(op.map, op.sizes, x.shape)
    return jnp.where(inside, x[places], 0)


@meaning("tensor.accumulate")
def _accumulate(op: tensor.Accumulate, y: Any) -> Any:
    places, inside = read_places(op.map, y.shape, op.shape)
    return jnp.zeros(op.shape, y.dtype).at[places].add(jnp.where(inside, y, 0))


@meaning("tensor.iota")
def _iota(op: tensor.Iota) -> Any:
    type_ = op.result.type
    return lax.broadcasted_iota(dtype_of(type_).numpy, shape_of(type_), op.iota_dimension)


@meaning("tensor.from_elements")
def _from_elements(_: Operation, *elements: Any) -> Any:
    return jnp.stack(elements)


# tensor: indexing


def not_from_the_end(starts: Sequence[Any]) -> list[Any]:
    """Starts below 0 raised to it; to JAX they would count from the end."""
    return [jnp.maximum(start, 0).astype(jnp.int64) for start in starts]


@meaning("tensor.extract")
def _extract(_: Operation, x: Any, *indices: Any) -> Any:
    return lax.dynamic_slice(x, not_from_the_end(indices), (1,) * x.ndim).reshape(())


@meaning("tensor.dynamic_slice")
def _dynamic_slice(op: tensor.DynamicSlice, x: Any, *starts: Any) -> Any:
    return lax.dynamic_slice(x, not_from_the_end(starts), op.slice_sizes)


@meaning("tensor.dynamic_update_slice")
def _dynamic_update_slice(op: tensor.DynamicUpdateSlice, x: Any, update: Any, *starts: Any) -> Any:
    at = not_from_the_end(starts)
    if op.combiner is tensor.Combiner.ADD:
        update = update + lax.dynamic_slice(x, at, update.shape)
    return lax.dynamic_update_slice(x, update, at)


def places(op: tensor.Gather | tensor.Scatter, x: Any, indices: Sequence[Any]) -> Any:
    """Subscripts of the axes indexed and batched, and these axes."""
    axes = op.start_index_map
    at = [jnp.clip(i, 0, x.shape[d] - 1) for i, d in zip(indices, axes, strict=True)]
    grid = jnp.indices(indices[0].shape)
    at += [grid[d] for d in op.start_indices_batching_dims]
    return tuple(at), (*axes, *op.operand_batching_dims)


@meaning("tensor.gather")
def _gather(op: tensor.Gather, x: Any, *indices: Any) -> Any:
    at, axes = places(op, x, indices)
    return jnp.moveaxis(x, axes, range(len(axes)))[at]


@meaning("tensor.scatter")
def _scatter(op: tensor.Scatter, x: Any, updates: Any, *indices: Any) -> Any:
    at, axes = places(op, x, indices)
    target = jnp.moveaxis(x, axes, range(len(axes))).at[at]
    out = target.add(updates) if op.combiner is Combiner.ADD else target.set(updates)
    return jnp.moveaxis(out, range(len(axes)), axes)


# tensor: reductions, contractions, order

_REDUCTIONS = {
    Kind.SUM: jnp.sum,
    Kind.PROD: jnp.prod,
    Kind.MAX: jnp.max,
    Kind.MIN: jnp.min,
    Kind.ANY: jnp.any,
    Kind.ALL: jnp.all,
}


@meaning("tensor.reduce")
def _reduce(op: tensor.Reduce, x: Any) -> Any:
    return _REDUCTIONS[op.kind](x, op.dimensions)


@meaning("tensor.arg_reduce")
def _arg_reduce(op: tensor.ArgReduce, x: Any) -> Any:
    position = jnp.argmax if op.kind is Kind.MAX else jnp.argmin
    return position(x, op.dimension).astype(jnp.int32)


@meaning("tensor.dot_general")
def _dot_general(op: tensor.DotGeneral, x: Any, y: Any, *selected: Any) -> Any:
    for mask in selected:
        x = jnp.where(mask, x, 0)
    contracting = op.lhs_contracting_dimensions, op.rhs_contracting_dimensions
    batching = op.lhs_batching_dimensions, op.rhs_batching_dimensions
    return lax.dot_general(x, y, (contracting, batching))


def scan(function: Any, neutral: int) -> Meaning:
    def run(op: tensor.CumSum | tensor.CumProd, x: Any) -> Any:
        if op.exclusive:
            keep = slice(1, None) if op.reverse else slice(None, -1)
            kept = x[(slice(None),) * op.axis + (keep,)]
            edge = [(0, 0)] * x.ndim
            edge[op.axis] = (0, 1) if op.reverse else (1, 0)
            x = jnp.pad(kept, edge, constant_values=neutral)
        return function(x, op.axis, reverse=op.reverse)

    return run


MEANINGS |= {"tensor.cumsum": scan(lax.cumsum, 0), "tensor.cumprod": scan(lax.cumprod, 1)}


@meaning("tensor.sort")
def _sort(op: tensor.Sort, x: Any) -> Any:
    return jnp.sort(x, descending=op.descending)


@meaning("tensor.argsort")
def _argsort(op: tensor.ArgSort, x: Any) -> Any:
    return jnp.argsort(x, stable=True, descending=op.descending).astype(jnp.int32)


@meaning("tensor.top_k")
def _top_k(op: tensor.TopK, x: Any) -> Any:
    return tuple(lax.top_k(x, op.k))


# linalg


def mirrored(x: Any) -> Any:
    """The symmetric matrix of an upper triangle."""
    return jnp.triu(x) + jnp.triu(x, 1).T


@meaning("linalg.cholesky")
def _cholesky(op: linalg.Cholesky, x: Any) -> Any:
    return jnp.linalg.cholesky(mirrored(x)).T


@meaning("linalg.triangular_solve")
def _triangular_solve(op: linalg.TriangularSolve, matrix: Any, right: Any) -> Any:
    flags = {"lower": op.lower, "transpose_a": op.transposed, "unit_diagonal": op.unit}
    return lax.linalg.triangular_solve(matrix, right, left_side=True, **flags)


@meaning("linalg.lu")
def _lu(op: linalg.LU, x: Any) -> Any:
    factors, _, permutation = lax.linalg.lu(x)
    return factors, permutation, jnp.argsort(permutation).astype(jnp.int32)


@meaning("linalg.solve")
def _solve(op: linalg.Solve, matrix: Any, *given: Any) -> Any:
    return jnp.linalg.solve(matrix.T if op.transposed else matrix, given[-1])


@meaning("linalg.qr")
def _qr(op: linalg.QR, x: Any) -> Any:
    return tuple(jnp.linalg.qr(x))


def signs(columns: Any) -> Any:
    """Of the first largest element of each column."""
    place = jnp.argmax(jnp.abs(columns), 0)
    return jnp.sign(lax.stop_gradient(columns[place, jnp.arange(columns.shape[1])]))


@meaning("linalg.eigh")
def _eigh(op: linalg.Eigh, x: Any) -> Any:
    values, vectors = jnp.linalg.eigh(mirrored(x))
    return values, vectors * signs(vectors)


@meaning("linalg.svd")
def _svd(op: linalg.SVD, x: Any) -> Any:
    left, values, right = jnp.linalg.svd(x, full_matrices=False)
    turned = signs(left)
    return left * turned, values, turned[:, None] * right


def series(x: Any) -> Any:
    """The exponential of a small matrix: JAX's own takes long to compile and differentiate."""
    term = total = jnp.eye(len(x), dtype=x.dtype)
    for k in range(1, 22):
        term = term @ x / k
        total = total + term
    return total


@meaning("linalg.expm")
def _expm(op: linalg.Expm, x: Any) -> Any:
    return series(x)


@meaning("linalg.expm_derivative")
def _expm_derivative(op: linalg.ExpmDerivative, x: Any, direction: Any) -> Any:
    return jax.jvp(series, (x,), (direction,))[1]
