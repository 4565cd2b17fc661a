"""Rows of the op table: `tensor`."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import arith, tensor
from dmc.dialects.tensor import Combiner, Kind
from dmc.ir import Builder, DType, TensorType, Value, dtype_of
from dmc.ir.affine import read_map
from tests.dialects.checks import Build, Draw, Sample

F64, I32, I64, BOOL = DType.F64, DType.I32, DType.I64, DType.BOOL

X = Draw((2, 3))
CUBE = Draw((2, 3, 4))
WHOLE = Draw((2, 3), I64, -9, 9)


def index(low: int, high: int, *shape: int, dtype: DType = I64) -> Draw:
    """An index; where it may leave the axis, clamping is checked."""
    return Draw(shape, dtype, low, high)


def broadcast(shape: tuple[int, ...], *dims: int) -> Build:
    return lambda b, x: tensor.broadcast_in_dim(b, x, shape, dims)


def slices(axis: int, start: int, limit: int, stride: int = 1) -> Build:
    return lambda b, x: tensor.slice_axis(b, x, axis, start, limit, stride)


_SHAPE = (
    Sample(
        "tensor.broadcast_in_dim",
        lambda b, x: tensor.broadcast_in_dim(b, x, (2, 4, 3), (0, 2)),
        (X,),
    ),
    Sample("tensor.broadcast_in_dim", broadcast((3, 4, 2), 2, 0), (X,), "turned"),
    Sample("tensor.broadcast_in_dim", broadcast((5, 3, 2), 1, 0), (Draw((3, 1)),), "size 1"),
    Sample("tensor.broadcast_in_dim", broadcast((2, 3)), (Draw(()),), "0-d"),
    Sample("tensor.reshape", lambda b, x: tensor.reshape(b, x, (3, 2)), (X,)),
    Sample("tensor.reshape", lambda b, x: tensor.reshape(b, x, (1, 2, 1, 3)), (X,), "units"),
    Sample("tensor.transpose", lambda b, x: tensor.transpose(b, x, (2, 0, 1)), (CUBE,)),
)


def slice_all(builder: Builder, x: Value) -> Value:
    return tensor.slice_(builder, x, (0, 1, 1), (2, 3, 4), (1, 1, 2))


def reads(sizes: tuple[int, ...], text: str) -> Build:
    return lambda b, x: tensor.read(b, x, sizes, read_map(text).results)


def accumulates(shape: tuple[int, ...], text: str) -> Build:
    return lambda b, y: tensor.accumulate_at(b, y, shape, read_map(text).results)


_ACCESS = (
    Sample("tensor.read", reads((3, 2), "(d0, d1) -> (d0 + d1)"), (Draw((4,)),), "window"),
    Sample("tensor.read", reads((2, 3), "(d0, d1) -> (d0, d1 - 1)"), (X,), "zero outside"),
    Sample("tensor.read", reads((3,), "(d0) -> (clamp(d0 - 1, 0, 1), d0)"), (X,), "clamped"),
    Sample("tensor.read", reads((6,), "(d0) -> (d0 floordiv 3, d0 mod 3)"), (X,), "split"),
    Sample("tensor.read", reads((2,), "(d0) -> (d0, d0)"), (X,), "diagonal"),
    Sample("tensor.accumulate", accumulates((4,), "(d0, d1) -> (d0 + d1)"), (X,), "window"),
    Sample("tensor.accumulate", accumulates((2,), "(d0, d1) -> (d0 + d1)"), (X,), "dropped"),
    Sample("tensor.accumulate", accumulates((3,), "(d0, d1) -> (clamp(d1 - 1, 0, 2))"), (X,)),
    Sample("tensor.accumulate", accumulates((2, 2), "(d0, d1) -> (d0, d1 mod 2)"), (X,), "wrap"),
)

_MOVEMENT = (
    Sample("tensor.slice", slice_all, (CUBE,)),
    Sample("tensor.slice", slices(1, 2, 2), (X,), "empty"),
    Sample("tensor.slice", slices(0, 1, 6, 3), (Draw((7,)),), "uneven"),
    Sample(
        "tensor.pad",
        lambda b, x, v: tensor.pad(b, x, v, (1, 0), (0, 2), (0, 1)),
        (X, Draw(())),
    ),
    Sample(
        "tensor.pad",
        lambda b, x, v: tensor.pad(b, x, v, (-1, 2), (1, -1), (1, 0)),
        (X, Draw(())),
        "negative",
    ),
    Sample(
        "tensor.pad",
        lambda b, x: tensor.pad(b, x, arith.scalar(b, 0.0, dtype_of(x.type)), (1, 0), (0, 0)),
        (X,),
        "zeros",
    ),
    Sample(
        "tensor.concatenate",
        lambda b, *xs: tensor.concatenate(b, xs, 1),
        (X, Draw((2, 1)), Draw((2, 2))),
    ),
    Sample("tensor.reverse", lambda b, x: tensor.reverse(b, x, (0, 2)), (CUBE,)),
    Sample("tensor.iota", lambda b: tensor.iota(b, TensorType((2, 3), I32), 1)),
    Sample("tensor.iota", lambda b: tensor.arange(b, 4, F64), label="f64"),
    Sample("tensor.from_elements", lambda b, *xs: tensor.from_elements(b, xs), (Draw(()),) * 3),
)


def at(shape: Draw, *indices: Draw, label: str) -> Sample:
    return Sample(
        "tensor.extract", lambda b, x, *i: tensor.extract(b, x, i), (shape, *indices), label
    )


def gather(
    axes: Sequence[int], batching: Sequence[int] = (), of_indices: Sequence[int] = ()
) -> Build:
    return lambda b, x, *i: tensor.gather(b, x, i, axes, batching, of_indices)


def scatter(
    combiner: Combiner,
    axes: Sequence[int],
    batching: Sequence[int] = (),
    of_indices: Sequence[int] = (),
) -> Build:
    return lambda b, x, u, *i: tensor.scatter(b, x, u, i, axes, combiner, batching, of_indices)


_INDEXING = (
    at(X, index(-1, 2), index(0, 3, dtype=I32), label="dynamic"),
    at(WHOLE, index(0, 1), index(0, 2), label="i64"),
    Sample("tensor.extract", lambda b, x: tensor.extract(b, x, ()), (Draw(()),), "0-d"),
    Sample(
        "tensor.extract",
        lambda b, x, i: tensor.extract(b, x, (i, arith.index(b, 2))),
        (X, index(0, 1)),
        "partly constant",
    ),
    Sample(
        "tensor.dynamic_slice",
        lambda b, x, i, j: tensor.dynamic_slice(b, x, (i, j), (1, 2)),
        (Draw((3, 5)), index(-1, 3), index(0, 5)),
    ),
    Sample(
        "tensor.dynamic_slice",
        lambda b, x, i: tensor.dynamic_slice(b, x, (i, arith.index(b, 0)), (1, 3)),
        (X, index(0, 1)),
        "row",
    ),
    Sample(
        "tensor.dynamic_update_slice",
        lambda b, x, u, i, j: tensor.dynamic_add_slice(b, x, u, (i, j)),
        (Draw((3, 5)), Draw((1, 2)), index(-1, 3), index(0, 5)),
        "adding",
    ),
    Sample(
        "tensor.dynamic_update_slice",
        lambda b, x, u, i, j: tensor.dynamic_add_slice(b, x, u, (i, j)),
        (Draw((3, 5)), Draw((3, 5)), index(-1, 3), index(0, 5)),
        "adding everywhere",
    ),
    Sample(
        "tensor.dynamic_update_slice",
        lambda b, x, u, i, j: tensor.dynamic_update_slice(b, x, u, (i, j)),
        (Draw((3, 5)), Draw((1, 2)), index(-1, 3), index(0, 5)),
    ),
    Sample(
        "tensor.dynamic_update_slice",
        lambda b, x, u, i: tensor.dynamic_update_slice(b, x, u, (i, arith.index(b, 0))),
        (X, Draw((1, 3)), index(0, 1)),
        "row",
    ),
    Sample(
        "tensor.dynamic_update_slice",
        lambda b, u, i: tensor.dynamic_update_slice(
            b, arith.zeros(b, TensorType((4, 3), dtype_of(u.type))), u, (i, arith.index(b, 0))
        ),
        (Draw((2, 3)), index(0, 2)),
        "into zeros",
    ),
    Sample("tensor.gather", gather((0,)), (Draw((4, 3)), index(-1, 5, 2, 2)), "rows"),
    Sample("tensor.gather", gather((1,)), (X, index(0, 2)), "one column"),
    Sample("tensor.gather", gather((2, 0)), (CUBE, index(0, 3, 5), index(0, 1, 5)), "two axes"),
    Sample("tensor.gather", gather((1,), (0,), (1,)), (X, index(0, 2, 4, 2)), "batching"),
    Sample("tensor.gather", gather((0,)), (Draw((4,)), index(0, 3, 0)), "no indices"),
    *(
        sample
        for combiner in Combiner
        for sample in (
            Sample(
                "tensor.scatter",
                scatter(combiner, (0,)),
                (Draw((4, 3)), Draw((5, 3)), index(-1, 4, 5)),
                f"{combiner.value} rows",
            ),
            Sample(
                "tensor.scatter",
                scatter(combiner, (2, 0)),
                (CUBE, Draw((5, 3)), index(0, 3, 5), index(0, 1, 5)),
                f"{combiner.value} two axes",
            ),
            Sample(
                "tensor.scatter",
                scatter(combiner, (1,), (0,), (1,)),
                (X, Draw((4, 2)), index(0, 2, 4, 2)),
                f"{combiner.value} batching",
            ),
            Sample(
                "tensor.scatter",
                scatter(combiner, (0, 1)),
                (X, Draw(()), index(0, 1), index(0, 2)),
                f"{combiner.value} one element",
            ),
        )
    ),
)

_DISTINCT = Draw((2, 3, 4), distinct=True)


def reduce(kind: Kind, *dims: int) -> Build:
    return lambda b, x: tensor.reduce(b, x, kind, dims)


_REDUCTION = (
    *(
        Sample("tensor.reduce", reduce(kind, *dims), (_DISTINCT,), f"{kind.value} {dims}")
        for kind in (Kind.SUM, Kind.PROD, Kind.MAX, Kind.MIN)
        for dims in ((1,), (0, 2), (0, 1, 2))
    ),
    *(
        Sample("tensor.reduce", reduce(kind, 1), (WHOLE,), f"{kind.value} i64")
        for kind in (Kind.SUM, Kind.PROD, Kind.MAX, Kind.MIN)
    ),
    *(
        Sample("tensor.reduce", reduce(kind, 0), (Draw((2, 3), BOOL),), kind.value)
        for kind in (Kind.ANY, Kind.ALL)
    ),
    Sample("tensor.reduce", reduce(Kind.SUM, 0), (Draw((0, 3)),), "sum of nothing"),
    Sample("tensor.reduce", reduce(Kind.PROD, 1), (Draw((3, 4), F64, 0, 0),), "prod of zeros"),
    *(
        Sample(
            "tensor.arg_reduce",
            lambda b, x, k=kind: tensor.arg_reduce(b, x, k, 1),
            (_DISTINCT,),
            kind.value,
        )
        for kind in (Kind.MAX, Kind.MIN)
    ),
    Sample(
        "tensor.dot_general",
        tensor.matmul,
        (X, Draw((3, 4))),
        "matrices",
    ),
    Sample(
        "tensor.dot_general",
        tensor.matmul,
        (Draw((3,)), Draw((3,))),
        "vectors",
    ),
    Sample(
        "tensor.dot_general",
        lambda b, x, y: tensor.dot_general(b, x, y, ((1,), (2,)), ((0, 3), (3, 0))),
        (Draw((2, 3, 4, 5)), Draw((5, 6, 3, 2))),
        "general",
    ),
    Sample(
        "tensor.dot_general",
        lambda b, x, y: tensor.dot_general(b, x, y, ((), ()), ((), ())),
        (X, Draw((2,))),
        "outer",
    ),
    Sample(
        "tensor.dot_general",
        lambda b, x, y, s: tensor.dot_general(
            b, x, y, ((1,), (2,)), ((0, 3), (3, 0)), (True, False), (s,)
        ),
        (Draw((2, 3, 4, 5)), Draw((5, 6, 3, 2)), Draw((2, 3, 4, 5), BOOL)),
        "selected",
    ),
    Sample(
        "tensor.dot_general",
        lambda b, x, y, s: tensor.dot_general(b, x, y, ((), ()), ((1,), (0,)), selected=(s,)),
        (WHOLE, index(-9, 9, 3, 2), Draw((2, 3), BOOL)),
        "selected i64",
    ),
    Sample(
        "tensor.dot_general",
        lambda b, x, y: tensor.dot_general(b, x, y, ((), ()), ((1,), (0,)), (True, True)),
        (Draw((9, 7)), Draw((7, 33))),
        "absorbing",
    ),
    Sample(
        "tensor.dot_general",
        tensor.matmul,
        (WHOLE, index(-9, 9, 3, 2)),
        "i64",
    ),
)

_ORDERED = (
    *(
        Sample(f"tensor.{scan.__name__}", build, (draw,), label)
        for scan in (tensor.cumsum, tensor.cumprod)
        for draw, kind in ((CUBE, "f64"), (Draw((2, 3, 4), I64, -3, 3), "i64"))
        for reverse in (False, True)
        for exclusive in (False, True)
        for label in [f"{kind}{' reverse' if reverse else ''}{' exclusive' if exclusive else ''}"]
        for build in [
            lambda b, x, s=scan, r=reverse, e=exclusive: s(b, x, 1, reverse=r, exclusive=e)
        ]
    ),
    Sample(
        "tensor.cumprod", lambda b, x: tensor.cumprod(b, x, 0), (Draw((5,), F64, 0, 0),), "zeros"
    ),
    *(
        Sample(f"tensor.{op.__name__}", build, (draw,), f"{draw.dtype.value} {down}")
        for op in (tensor.sort, tensor.argsort)
        for draw in (_DISTINCT, Draw((2, 5), I64, -2, 2))
        for down in (False, True)
        for build in [lambda b, x, op=op, down=down: op(b, x, down)]
    ),
    *(
        Sample("tensor.top_k", lambda b, x: tensor.top_k(b, x, 2), (draw,), draw.dtype.value)
        for draw in (_DISTINCT, Draw((2, 5), I64, -2, 2))
    ),
)

TENSOR = (*_SHAPE, *_ACCESS, *_MOVEMENT, *_INDEXING, *_REDUCTION, *_ORDERED)
