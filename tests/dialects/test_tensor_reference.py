"""Tensor operations: reference semantics on small examples worked by hand, and constraints."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dmc.dialects import arith, tensor
from dmc.dialects.tensor import Combiner, Kind
from dmc.ir import (
    AffineMap,
    Array,
    Attribute,
    Block,
    Builder,
    DType,
    Operation,
    TensorType,
    Value,
    VerifyError,
)
from dmc.ir.affine import read_map
from tests.dialects.checks import Build, run

F64, F32, I32, I64, BOOL = DType.F64, DType.F32, DType.I32, DType.I64, DType.BOOL
NAN = float("nan")


def computed(build: Build, *arrays: object) -> list[Array]:
    given = [np.asarray(a) for a in arrays]
    block = Block([TensorType(a.shape, DType.of(a.dtype)) for a in given])
    out = build(Builder(block), *block.args)
    return run(block, given, [out] if isinstance(out, Value) else out)


ROWS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

EXAMPLES: dict[str, tuple[Build, Sequence[object], object]] = {
    "broadcast_in_dim turns axes": (
        lambda b, x: tensor.broadcast_in_dim(b, x, (2, 2), (1, 0)),
        [[[1.0, 2.0], [3.0, 4.0]]],
        [[1.0, 3.0], [2.0, 4.0]],
    ),
    "pad between, before and after": (
        lambda b, x, v: tensor.pad(b, x, v, (1,), (2,), (1,)),
        [[1.0, 2.0], 0.0],
        [0.0, 1.0, 0.0, 2.0, 0.0, 0.0],
    ),
    "pad by taking away": (
        lambda b, x, v: tensor.pad(b, x, v, (-1,), (-1,), (1,)),
        [[1.0, 2.0, 3.0], 9.0],
        [9.0, 2.0, 9.0],
    ),
    "read slides a window, zero outside": (
        lambda b, x: tensor.read(b, x, (3, 2), read_map("(d0, d1) -> (d0 + d1 - 1)").results),
        [[1.0, 2.0, 3.0]],
        [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]],
    ),
    "read clamps, wraps and repeats": (
        lambda b, x: tensor.read(
            b,
            x,
            (4,),
            read_map("(d0) -> (d0 floordiv 2, (d0 + 2) mod 3)").results,
        ),
        [ROWS],
        [3.0, 1.0, 5.0, 6.0],
    ),
    "accumulate adds what meets and drops what is outside": (
        lambda b, y: tensor.accumulate_at(b, y, (2,), read_map("(d0, d1) -> (d0 + d1)").results),
        [ROWS],
        [1.0, 6.0],
    ),
    "dynamic_slice stays inside": (
        lambda b, x, i: tensor.dynamic_slice(b, x, [i], (2,)),
        [[1.0, 2.0, 3.0], 2],
        [2.0, 3.0],
    ),
    "dynamic_update_slice stays inside": (
        lambda b, x, u, i: tensor.dynamic_update_slice(b, x, u, [i]),
        [[1.0, 2.0, 3.0], [8.0, 9.0], -4],
        [8.0, 9.0, 3.0],
    ),
    "extract stays inside": (
        lambda b, x, i, j: tensor.extract(b, x, [i, j]),
        [ROWS, 7, -7],
        4.0,
    ),
    "take columns": (
        lambda b, x, i: tensor.take(b, x, i, 1),
        [ROWS, [[2, 0], [1, 9]]],
        [[[3.0, 1.0], [2.0, 3.0]], [[6.0, 4.0], [5.0, 6.0]]],
    ),
    "take along rows": (
        lambda b, x, i: tensor.take_along(b, x, i, 1),
        [ROWS, [[2, 0], [1, 1]]],
        [[3.0, 1.0], [5.0, 5.0]],
    ),
    "scatter adds duplicates": (
        lambda b, x, u, i: tensor.scatter(b, x, u, [i], [0]),
        [[0.0, 10.0], [1.0, 2.0, 4.0], [1, 0, 1]],
        [2.0, 15.0],
    ),
    "scatter keeps the last that is set": (
        lambda b, x, u, i: tensor.scatter(b, x, u, [i], [0], Combiner.SET),
        [[0.0, 10.0], [1.0, 2.0, 4.0], [1, 1, 5]],
        [0.0, 4.0],
    ),
    "max is NaN if anything is": (
        lambda b, x: tensor.reduce(b, x, Kind.MAX, [0]),
        [[1.0, NAN, 3.0]],
        NAN,
    ),
    "the sum of nothing": (
        lambda b, x: tensor.reduce_sum(b, x, [0]),
        [np.zeros((0, 2))],
        [0.0, 0.0],
    ),
    "the product of nothing": (
        lambda b, x: tensor.reduce(b, x, Kind.PROD, [0]),
        [np.zeros((0, 2))],
        [1.0, 1.0],
    ),
    "the first of equal maxima": (
        lambda b, x: tensor.arg_reduce(b, x, Kind.MAX, 0),
        [[1.0, 3.0, 3.0]],
        np.int32(1),
    ),
    "dot_general has batching axes first": (
        lambda b, x, y: tensor.dot_general(b, x, y, ((1,), (0,)), ((0,), (1,))),
        [ROWS, np.arange(12.0).reshape(3, 2, 2)],
        [[8.0, 13.0], [38.0, 45.0], [84.0, 93.0]],
    ),
    "cumsum from the end, without itself": (
        lambda b, x: tensor.cumsum(b, x, 0, reverse=True, exclusive=True),
        [[1.0, 2.0, 4.0]],
        [6.0, 4.0, 0.0],
    ),
    "sort puts NaN last": (tensor.sort, [[2.0, NAN, 1.0]], [1.0, 2.0, NAN]),
    "argsort keeps the order of equals": (
        lambda b, x: tensor.argsort(b, x, True),
        [[1, 2, 1, 2]],
        np.array([1, 3, 0, 2], np.int32),
    ),
}


@pytest.mark.parametrize(("build", "arrays", "wanted"), EXAMPLES.values(), ids=EXAMPLES.keys())
def test_example(build: Build, arrays: Sequence[object], wanted: object) -> None:
    (got,) = computed(build, *arrays)
    np.testing.assert_array_equal(got, np.asarray(wanted), strict=True)


def test_top_k() -> None:
    largest, positions = computed(
        lambda b, x: tensor.top_k(b, x, 2), [[1.0, 5.0, 5.0], [9.0, 2.0, 3.0]]
    )
    np.testing.assert_array_equal(largest, [[5.0, 5.0], [9.0, 3.0]])
    np.testing.assert_array_equal(positions, np.array([[1, 2], [0, 2]], np.int32), strict=True)


def test_half_precision_sums_in_single() -> None:
    (total,) = computed(lambda b, x: tensor.reduce_sum(b, x, [0]), np.full(4096, 1, np.float16))
    assert total == 4096


# Derivatives where they are easily wrong


def gradient(build: Build, x: Array) -> Array:
    """The adjoint of the last operation built, for a cotangent of ones."""
    block = Block([TensorType(x.shape, F64)])
    builder = Builder(block)
    out = build(builder, block.args[0])
    assert isinstance(out, Value)
    assert out.defining_op is not None
    bar = out.defining_op.adjoint(builder, [arith.ones(builder, out.type)])[0]
    assert bar is not None
    return run(block, [x], [bar])[0]


@pytest.mark.parametrize(
    ("x", "wanted"),
    [([2.0, 3.0, 4.0], [12, 8, 6]), ([2.0, 0.0, 4.0], [0, 8, 0]), ([0.0, 0.0, 4.0], [0, 0, 0])],
)
def test_products_with_zeros_have_exact_gradients(x: list[float], wanted: list[float]) -> None:
    got = gradient(lambda b, x: tensor.reduce(b, x, Kind.PROD, [0]), np.array(x))
    np.testing.assert_array_equal(got, wanted)


def test_cumulative_products_with_zeros_have_exact_gradients() -> None:
    got = gradient(lambda b, x: tensor.cumprod(b, x, 0), np.array([2.0, 0.0, 3.0, 5.0]))
    # d/dx of 2 + 2a + 2ab + 2abc at a = 0, b = 3, c = 5.
    np.testing.assert_array_equal(got, [1.0, 2.0 + 6.0 + 30.0, 0.0, 0.0])


@pytest.mark.parametrize("kind", [Kind.MAX, Kind.MIN])
def test_the_first_of_ties_gets_the_gradient(kind: Kind) -> None:
    x = np.array([[1.0, 7.0, 7.0], [7.0, 1.0, 1.0]])
    wanted = np.zeros((2, 3))
    wanted[(0, 1) if kind is Kind.MAX else (0, 0)] = 1
    got = gradient(lambda b, x: tensor.reduce(b, x, kind, [0, 1]), x)
    np.testing.assert_array_equal(got, wanted)


# Constraints, each broken once


def make(name: str, types: Sequence[TensorType], **attributes: Attribute) -> Callable[[], object]:
    return lambda: Operation.registry[name](Block(types).args, attributes)


X, V, S, I = (
    TensorType((2, 3), F64),
    TensorType((3,), F64),
    TensorType((), F64),
    TensorType((), I64),
)
IDS, BITS = TensorType((4,), I64), TensorType((2, 3), BOOL)


def gather(types: Sequence[TensorType], *dims: tuple[int, ...]) -> Callable[[], object]:
    names = ("start_index_map", "operand_batching_dims", "start_indices_batching_dims")
    return make("tensor.gather", types, **dict(zip(names, dims, strict=False)))


def slices(*dims: tuple[int, ...]) -> Callable[[], object]:
    names = ("start_indices", "limit_indices", "strides")
    return make("tensor.slice", [X], **dict(zip(names, dims, strict=True)))


def pads(fill: TensorType, *dims: tuple[int, ...]) -> Callable[[], object]:
    names = ("edge_padding_low", "edge_padding_high", "interior_padding")
    return make("tensor.pad", [X, fill], **dict(zip(names, dims, strict=True)))


def dots(types: Sequence[TensorType], *dims: tuple[int, ...]) -> Callable[[], object]:
    names = [
        f"{side}_{kind}_dimensions"
        for kind in ("batching", "contracting")
        for side in ("lhs", "rhs")
    ]
    return make("tensor.dot_general", types, **dict(zip(names, dims, strict=True)))


BROKEN: list[tuple[str, int, Callable[[], object]]] = [
    (
        "broadcast_in_dim",
        1,
        make("tensor.broadcast_in_dim", [X], shape=(2, 3), broadcast_dimensions=(0,)),
    ),
    (
        "broadcast_in_dim",
        2,
        make("tensor.broadcast_in_dim", [X], shape=(2, 3), broadcast_dimensions=(0, 2)),
    ),
    (
        "broadcast_in_dim",
        3,
        make("tensor.broadcast_in_dim", [X], shape=(2, 4), broadcast_dimensions=(0, 1)),
    ),
    ("reshape", 1, make("tensor.reshape", [X], shape=(5,))),
    ("transpose", 1, make("tensor.transpose", [X], permutation=(0, 0))),
    ("slice", 1, slices((0,), (1,), (1,))),
    ("slice", 2, slices((0, 0), (2, 4), (1, 1))),
    ("slice", 3, slices((0, 0), (2, 3), (1, 0))),
    ("pad", 1, pads(S, (0,), (0,), (0,))),
    ("pad", 2, pads(S, (0, 0), (0, 0), (0, -1))),
    ("pad", 3, pads(S, (-2, 0), (-1, 0), (0, 0))),
    ("pad", 4, pads(V, (0, 0), (0, 0), (0, 0))),
    ("concatenate", 1, make("tensor.concatenate", [], dimension=0)),
    ("concatenate", 2, make("tensor.concatenate", [X], dimension=2)),
    ("concatenate", 3, make("tensor.concatenate", [X, V], dimension=0)),
    ("read", 1, make("tensor.read", [X], sizes=(2,), map=AffineMap.identity(2))),
    ("read", 1, make("tensor.read", [X], sizes=(2,), map=AffineMap.identity(1))),
    ("accumulate", 1, make("tensor.accumulate", [X], shape=(2,), map=AffineMap.identity(2))),
    ("accumulate", 1, make("tensor.accumulate", [X], shape=(2,), map=AffineMap.identity(1))),
    ("reverse", 1, make("tensor.reverse", [X], dimensions=(0, 0))),
    ("iota", 1, make("tensor.iota", [], type=X, iota_dimension=2)),
    ("iota", 2, make("tensor.iota", [], type=BITS, iota_dimension=0)),
    ("from_elements", 1, make("tensor.from_elements", [S, I])),
    ("from_elements", 1, make("tensor.from_elements", [V])),
    ("extract", 1, make("tensor.extract", [X, I])),
    ("extract", 2, make("tensor.extract", [TensorType((0,), F64), I])),
    ("dynamic_slice", 1, make("tensor.dynamic_slice", [X, I], slice_sizes=(1, 1))),
    ("dynamic_slice", 2, make("tensor.dynamic_slice", [X, I, I], slice_sizes=(1, 4))),
    ("dynamic_update_slice", 1, make("tensor.dynamic_update_slice", [X, X, I])),
    ("dynamic_update_slice", 2, make("tensor.dynamic_update_slice", [V, X, I])),
    ("gather", 1, gather([X, V], (0,))),
    ("gather", 1, gather([X, IDS], (0, 1))),
    ("gather", 2, gather([X, IDS], (2,))),
    ("gather", 2, gather([X, IDS], (0,), (0,), (0,))),
    ("gather", 3, gather([X, IDS], (0,), (1,), ())),
    ("gather", 3, gather([X, IDS], (0,), (1,), (0,))),
    ("gather", 4, gather([TensorType((0,), F64), IDS], (0,))),
    ("scatter", 5, make("tensor.scatter", [X, X, IDS], start_index_map=(0,), combiner="add")),
    ("reduce", 1, make("tensor.reduce", [X], kind="sum", dimensions=(1, 0))),
    ("reduce", 2, make("tensor.reduce", [X], kind="any", dimensions=(0,))),
    ("reduce", 3, make("tensor.reduce", [TensorType((0,), F64)], kind="max", dimensions=(0,))),
    ("arg_reduce", 1, make("tensor.arg_reduce", [X], kind="sum", dimension=0)),
    ("arg_reduce", 2, make("tensor.arg_reduce", [X], kind="max", dimension=2)),
    ("dot_general", 1, dots([X, X], (0,), (), (), ())),
    ("dot_general", 2, dots([X, X], (0,), (0,), (0,), (1,))),
    ("dot_general", 3, dots([X, X], (), (), (0,), (1,))),
    ("dot_general", 4, dots([X, TensorType((2, 3), F32)], (), (), (0,), (0,))),
    ("dot_general", 5, dots([X, X, TensorType((2,), BOOL)], (), (), (0,), (0,))),
    ("cumsum", 1, make("tensor.cumsum", [X], axis=2)),
    ("cumsum", 2, make("tensor.cumsum", [BITS], axis=0)),
    ("cumprod", 1, make("tensor.cumprod", [X], axis=2)),
    ("cumprod", 2, make("tensor.cumprod", [BITS], axis=0)),
    ("sort", 1, make("tensor.sort", [S])),
    ("argsort", 1, make("tensor.argsort", [BITS])),
    ("top_k", 2, make("tensor.top_k", [X], k=4)),
    ("random.fold", 1, make("random.fold", [S, S])),
    ("random.element", 1, make("random.element", [S, S], width=32)),
    ("random.element", 2, make("random.element", [I, I], width=16)),
    ("random.split", 2, make("random.split", [I], n=0)),
    ("random.bits", 1, make("random.bits", [S], shape=(2,), width=32)),
    ("random.bits", 3, make("random.bits", [I], shape=(-2,), width=32)),
    ("random.bits", 2, make("random.bits", [I], shape=(2,), width=16)),
]


@pytest.mark.parametrize(
    ("number", "build"),
    [row[1:] for row in BROKEN],
    ids=[f"{n}-C{c}-{i}" for i, (n, c, _) in enumerate(BROKEN)],
)
def test_constraint(number: int, build: Callable[[], object]) -> None:
    with pytest.raises(VerifyError) as caught:
        build()
    assert caught.value.number == number


def test_result_types_must_follow() -> None:
    block = Block([X])
    op = tensor.Reverse(block.args, {"dimensions": (0,)}, result_types=[V])
    with pytest.raises(VerifyError):
        op.verify_types()


INHERITED = {("scatter", n) for n in range(1, 5)} | {("top_k", 1), ("random.split", 1)}
"""Checked by the same code as those of another operation in the list."""


def test_every_documented_constraint_is_broken_once() -> None:
    broken = {(name, number) for name, number, _ in BROKEN} | INHERITED
    for name, cls in Operation.registry.items():
        dialect, _, short = name.partition(".")
        if dialect in ("tensor", "random"):
            documented = {int(n) for n in re.findall(r"C(\d)[: ]", cls.__doc__ or "")}
            key = short if dialect == "tensor" else name
            assert documented <= {number for other, number in broken if other == key}, name
