"""Folds and canonical forms: what they become, and that they never change a value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmc.dialects import arith, tensor
from dmc.dialects.tensor import Kind
from dmc.ir import Builder, DType, Module, TensorType, Value, shape_of
from dmc.transforms.canonicalize import Canonicalize
from tests.transforms.programs import check, program

F64, I64 = DType.F64, DType.I64
Code = Callable[[Builder, list[Value]], Value]


def simplified(code: Code, *shapes: tuple[int, ...]) -> Module:
    """The canonical form, checked to compute the same."""
    made = program([TensorType(shape, F64) for shape in shapes], lambda b, x: [code(b, x)])
    return check(made, Canonicalize())


def ops(module: Module) -> list[str]:
    return [op.name for op in module.walk() if op.name.split(".")[0] in ("tensor", "arith")]


def zero(b: Builder) -> Value:
    return arith.scalar(b, 0.0, F64)


def read(b: Builder, x: Value, *at: int) -> Value:
    return tensor.extract(b, x, [arith.index(b, i) for i in at])


def scattered(b: Builder, u: Value) -> Value:
    """`u` of shape [3, 2] added into a [4, 2] of zeros at rows known only when running."""
    base = arith.zeros(b, TensorType((4, 2), F64))
    rows = arith.convert(b, tensor.reduce_sum(b, u, (1,)), I64)
    return tensor.scatter(b, base, u, [rows], [0])


FORMS: dict[str, tuple[list[tuple[int, ...]], Code, list[str]]] = {
    "reshape of reshape": (
        [(2, 6)],
        lambda b, x: tensor.reshape(b, tensor.reshape(b, x[0], (3, 4)), (4, 3)),
        ["tensor.reshape"],
    ),
    "reshape there and back": (
        [(2, 6)],
        lambda b, x: tensor.reshape(b, tensor.reshape(b, x[0], (3, 4)), (2, 6)),
        [],
    ),
    "transpose of transpose": (
        [(2, 3, 4)],
        lambda b, x: tensor.transpose(b, tensor.transpose(b, x[0], (1, 2, 0)), (2, 0, 1)),
        [],
    ),
    "transpose that moves only units": (
        [(1, 3)],
        lambda b, x: tensor.transpose(b, x[0], (1, 0)),
        ["tensor.reshape"],
    ),
    "broadcast of broadcast": (
        [(3,)],
        lambda b, x: tensor.broadcast(b, tensor.broadcast(b, x[0], (2, 3)), (4, 2, 3)),
        ["tensor.broadcast_in_dim"],
    ),
    "broadcast that only adds units": (
        [(3,)],
        lambda b, x: tensor.broadcast_in_dim(b, x[0], (1, 3), (1,)),
        ["tensor.reshape"],
    ),
    "transpose of broadcast": (
        [(3,)],
        lambda b, x: tensor.transpose(b, tensor.broadcast(b, x[0], (2, 3)), (1, 0)),
        ["tensor.broadcast_in_dim"],
    ),
    "broadcast of an added axis": (
        [(3,)],
        lambda b, x: tensor.broadcast_in_dim(b, tensor.reshape(b, x[0], (3, 1)), (3, 4), (0, 1)),
        ["tensor.broadcast_in_dim"],
    ),
    "slice of broadcast": (
        [(3,)],
        lambda b, x: tensor.slice_(b, tensor.broadcast(b, x[0], (5, 3)), (1, 1), (3, 3)),
        ["tensor.slice", "tensor.broadcast_in_dim"],
    ),
    "slice of slice": (
        [(10,)],
        lambda b, x: tensor.slice_axis(b, tensor.slice_axis(b, x[0], 0, 1, 9, 2), 0, 1, 4, 2),
        ["tensor.slice"],
    ),
    "slice of one part": (
        [(3,), (4,)],
        lambda b, x: tensor.slice_axis(b, tensor.concatenate(b, x, 0), 0, 3, 7),
        [],
    ),
    "slice of what was padded": (
        [(3,)],
        lambda b, x: tensor.slice_axis(b, tensor.pad(b, x[0], zero(b), (2,), (1,)), 0, 2, 5),
        [],
    ),
    "pad of pad": (
        [(3,)],
        lambda b, x: tensor.pad(b, tensor.pad(b, x[0], zero(b), (1,), (0,)), zero(b), (1,), (2,)),
        ["arith.constant", "tensor.pad"],
    ),
    "reverse of reverse": (
        [(2, 3)],
        lambda b, x: tensor.reverse(b, tensor.reverse(b, x[0], (0, 1)), (1,)),
        ["tensor.reverse"],
    ),
    "nested concatenation": (
        [(1,), (2,), (0,)],
        lambda b, x: tensor.concatenate(b, [x[0], tensor.concatenate(b, [x[1], x[2]], 0)], 0),
        ["tensor.concatenate"],
    ),
    "sum of a sum": (
        [(2, 3, 4)],
        lambda b, x: tensor.reduce_sum(b, tensor.reduce_sum(b, x[0], (1,)), (0,)),
        ["tensor.reduce"],
    ),
    "sum of a transpose": (
        [(2, 3)],
        lambda b, x: tensor.reduce_sum(b, tensor.transpose(b, x[0], (1, 0)), (0,)),
        ["tensor.reduce"],
    ),
    "sum of what repeats": (
        [(3,)],
        lambda b, x: tensor.reduce_sum(b, tensor.broadcast(b, x[0], (5, 3)), (0,)),
        ["arith.constant", "arith.multiply"],
    ),
    "sum beside what repeats": (
        [(3, 4)],
        lambda b, x: tensor.reduce_sum(
            b, tensor.broadcast_in_dim(b, x[0], (3, 5, 4), (0, 2)), (2,)
        ),
        ["tensor.reduce", "tensor.broadcast_in_dim"],
    ),
    "maximum of what repeats": (
        [(3,)],
        lambda b, x: tensor.reduce(b, tensor.broadcast(b, x[0], (5, 3)), Kind.MAX, (0,)),
        [],
    ),
    "sum of a reshape": (
        [(2, 3, 4)],
        lambda b, x: tensor.reduce_sum(b, tensor.reshape(b, x[0], (2, 12)), (1,)),
        ["tensor.reduce"],
    ),
    "sum over units": (
        [(1, 3)],
        lambda b, x: tensor.reduce_sum(b, x[0], (0,)),
        ["tensor.reshape"],
    ),
    "contraction of a transpose": (
        [(3, 2), (3, 4)],
        lambda b, x: tensor.matmul(b, tensor.transpose(b, x[0], (1, 0)), x[1]),
        ["tensor.dot_general"],
    ),
    "contraction of units": (
        [(3, 1), (1, 4)],
        lambda b, x: tensor.matmul(b, *x),
        ["tensor.reshape", "tensor.reshape", *["tensor.broadcast_in_dim"] * 2, "arith.multiply"],
    ),
    "element of elements": (
        [(), ()],
        lambda b, x: read(b, tensor.from_elements(b, x), 1),
        [],
    ),
    "element of a broadcast": (
        [()],
        lambda b, x: read(b, tensor.broadcast(b, x[0], (2, 3)), 1, 1),
        ["tensor.extract"],
    ),
    "dynamic slice at a constant": (
        [(5,)],
        lambda b, x: tensor.dynamic_slice(b, x[0], [arith.index(b, 9)], (2,)),
        ["tensor.slice"],
    ),
    "gather of every second row": (
        [(6, 2)],
        lambda b, x: tensor.take(
            b,
            x[0],
            arith.multiply(b, tensor.arange(b, 3), arith.constant(b, 2, TensorType((3,), I64))),
        ),
        ["tensor.slice"],
    ),
    "sum and scatter": (
        [(4, 2), (3, 2)],
        lambda b, x: arith.add(b, x[0], scattered(b, x[1])),
        ["tensor.reduce", "arith.convert", "tensor.scatter"],
    ),
    "sum and update": (
        [(4,), (2,)],
        lambda b, x: arith.add(
            b,
            x[0],
            tensor.dynamic_update_slice(
                b,
                arith.zeros(b, x[0].type),
                x[1],
                [arith.convert(b, read(b, x[1], 0), I64)],
            ),
        ),
        [
            "arith.constant",
            "tensor.extract",
            "arith.convert",
            "tensor.dynamic_update_slice",
        ],
    ),
    "sum of an update": (
        [(2,)],
        lambda b, x: tensor.reduce_sum(
            b,
            tensor.dynamic_update_slice(
                b,
                arith.zeros(b, TensorType((5,), F64)),
                x[0],
                [arith.convert(b, read(b, x[0], 0), I64)],
            ),
            (0,),
        ),
        ["tensor.reduce"],
    ),
    "sum of a pad": (
        [(2, 3)],
        lambda b, x: tensor.reduce_sum(b, tensor.pad(b, x[0], zero(b), (1, 0), (0, 1)), (0, 1)),
        ["tensor.reduce"],
    ),
    "scatter along the other axis, summed": (
        [(3, 2)],
        lambda b, x: tensor.reduce_sum(b, scattered(b, x[0]), (1,)),
        ["arith.constant", "tensor.reduce", "arith.convert", "tensor.reduce", "tensor.scatter"],
    ),
}


@pytest.mark.parametrize(("shapes", "code", "wanted"), FORMS.values(), ids=FORMS.keys())
def test_canonical_forms(shapes: list[tuple[int, ...]], code: Code, wanted: list[str]) -> None:
    assert sorted(ops(simplified(code, *shapes))) == sorted(wanted)


def test_a_sum_that_others_use_is_summed_on() -> None:
    """Not summed again from its own terms, nor in derivatives spread over them twice."""

    def code(b: Builder, x: list[Value]) -> Value:
        rows = tensor.reduce_sum(b, x[0], (1,))
        total = tensor.reduce_sum(b, rows, (0,))
        return arith.multiply(b, rows, tensor.broadcast(b, total, (3,)))

    made = simplified(code, (3, 4))
    sums = [op for op in made.walk() if isinstance(op, tensor.Reduce)]
    assert [shape_of(op.operand.type) for op in sums] == [(3, 4), (3,)]


def test_constants_fold_below_the_limit_only() -> None:
    def table(n: int) -> Module:
        def code(b: Builder, x: list[Value]) -> Value:
            data = np.arange(n, dtype=np.float64)
            return tensor.reverse(b, arith.constant(b, data, TensorType((n,), F64)), (0,))

        return simplified(code)

    assert ops(table(1 << 16)) == ["arith.constant"]
    assert ops(table((1 << 16) + 1)) == ["arith.constant", "tensor.reverse"]


def test_a_splat_stays_a_splat_at_any_size() -> None:
    def code(b: Builder, x: list[Value]) -> Value:
        ones = arith.ones(b, TensorType((1000, 3000), F64))
        return tensor.slice_axis(b, tensor.transpose(b, ones, (1, 0)), 0, 1, 9)

    assert ops(simplified(code)) == ["arith.constant"]


# Random compositions of movement keep their values


@st.composite
def movements(draw: st.DrawFn) -> Code:
    """Up to six movements and reductions, one after another."""
    count = draw(st.integers(1, 6))
    seeds = [draw(st.tuples(st.integers(0, 9), st.integers(0, 2**16))) for _ in range(count)]

    def code(b: Builder, x: list[Value]) -> Value:
        value = x[0]
        for kind, seed in seeds:
            value = moved(b, value, kind, np.random.default_rng(seed))
        return value

    return code


def moved(b: Builder, x: Value, kind: int, rng: np.random.Generator) -> Value:
    shape = shape_of(x.type)
    rank = len(shape)
    axis = int(rng.integers(rank)) if rank else 0
    match kind:
        case 0:
            return tensor.transpose(b, x, [int(d) for d in rng.permutation(rank)])
        case 1:
            if rng.random() < 0.5:
                return tensor.broadcast(b, x, (2, *shape))
            return tensor.broadcast_in_dim(b, x, (*shape, 3), range(rank))
        case 2:
            size = int(np.prod(shape))
            splits = [n for n in range(1, size + 1) if size % n == 0] or [1]
            n = int(rng.choice(splits))
            return tensor.reshape(b, x, (n, size // n) if size else shape)
        case 3 if rank and shape[axis]:
            start = int(rng.integers(shape[axis]))
            stride = int(rng.integers(1, 3))
            return tensor.slice_axis(b, x, axis, start, shape[axis], stride)
        case 4 if rank:
            low, high = rng.integers(0, 3, rank), rng.integers(0, 2, rank)
            inner = rng.integers(0, 2, rank)
            return tensor.pad(b, x, zero(b), low.tolist(), high.tolist(), inner.tolist())
        case 5 if rank:
            return tensor.reverse(b, x, [axis])
        case 6 if rank:
            return tensor.reduce_sum(b, x, [axis])
        case 7 if rank:
            return tensor.concatenate(b, [x, x], axis)
        case 8 if rank and shape[axis]:
            rows = arith.constant(b, rng.integers(-1, shape[axis] + 1, (2,)), TensorType((2,), I64))
            return tensor.take(b, x, rows, axis)
        case 9 if rank and shape[axis]:
            return tensor.reduce(b, x, Kind.MAX, [axis])
        case _:
            return tensor.reshape(b, x, (1, *shape))


@settings(max_examples=150)
@given(movements())
def test_random_movement(code: Code) -> None:
    simplified(code, (2, 3))
