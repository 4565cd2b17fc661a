"""Kernels that join elements: reductions, products, scans and sorts."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import arith, kernel
from dmc.dialects.tensor import (
    ArgReduce,
    ArgSort,
    CumProd,
    CumSum,
    DotGeneral,
    Kind,
    Reduce,
    Sort,
    TopK,
)
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Attribute,
    Builder,
    DType,
    Operation,
    Value,
    dtype_of,
    shape_of,
)
from dmc.transforms.generics import (
    Read,
    index,
    make_generic,
    passing,
)
from dmc.transforms.kernelize.movement import Rule
from dmc.transforms.trees import elementwise

COMBINER = {
    Kind.SUM: "add",
    Kind.PROD: "mul",
    Kind.MAX: "max",
    Kind.MIN: "min",
    Kind.ANY: "max",
    Kind.ALL: "min",
}
"""The combiner of each reduction; `i1` is ordered false before true."""


def _reduce(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Reduce)
    return [_reduction(builder, op.operand, op.dimensions, COMBINER[op.kind])]


def _reduction(builder: Builder, x: Value, axes: Sequence[int], combiner: str) -> Value:
    shape, dtype = shape_of(x.type), dtype_of(x.type)
    kept = [d for d in range(len(shape)) if d not in axes]
    order = [*kept, *axes]
    rank = len(shape)
    exprs = [AffineExpr.dim(rank, order.index(d)) for d in range(rank)]
    narrow = dtype in (DType.F16, DType.BF16)
    wide = DType.F32 if narrow else dtype
    return make_generic(
        builder,
        [shape[d] for d in order],
        [Read(x, AffineMap(rank, tuple(exprs)))],
        lambda b, args: [arith.convert(b, args[0], wide)],
        [AffineMap.select(rank, range(len(kept)))],
        (combiner,),
        len(axes),
        epilogue=lambda b, args: [arith.convert(b, args[0], dtype)],
        order=[order.index(d) for d in range(rank)],
    ).results[0]


def _arg_reduce(builder: Builder, op: Operation) -> Sequence[Value] | None:
    """The least position of an element equal to the extremum, or not a number."""
    assert isinstance(op, ArgReduce)
    shape, axis = shape_of(op.operand.type), op.dimension
    dtype = dtype_of(op.operand.type)
    extremum = _reduction(builder, op.operand, (axis,), COMBINER[op.kind])
    rank = len(shape)
    kept = [d for d in range(rank) if d != axis]
    order = [*kept, axis]

    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, best = args
        hit = arith.compare(b, arith.Direction.EQ, x, best)
        if dtype.is_float:
            hit = arith.logical_or(b, hit, arith.compare(b, arith.Direction.NE, x, x))
        position = arith.convert(b, index(b, rank - 1), DType.I32)
        return [arith.select(b, hit, position, arith.scalar(b, shape[axis], DType.I32))]

    reads = [
        Read(op.operand, AffineMap.select(rank, [order.index(d) for d in range(rank)])),
        Read(extremum, AffineMap.select(rank, range(rank - 1))),
    ]
    return make_generic(
        builder,
        [shape[d] for d in order],
        reads,
        code,
        [AffineMap.select(rank, range(rank - 1))],
        ("min",),
        1,
    ).results


def _dot_general(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, DotGeneral)
    left, right = shape_of(op.lhs.type), shape_of(op.rhs.type)
    lhs_order = (*op.lhs_batching_dimensions, *op.lhs_free)
    sizes = [left[d] for d in lhs_order]
    sizes += [right[d] for d in op.rhs_free]
    sizes += [left[d] for d in op.lhs_contracting_dimensions]
    rank, inner = len(sizes), len(op.lhs_contracting_dimensions)
    contracted = range(rank - inner, rank)
    lhs_dims = dict(zip(lhs_order, range(len(lhs_order)), strict=True))
    lhs_dims.update(zip(op.lhs_contracting_dimensions, contracted, strict=True))
    batches = range(len(op.rhs_batching_dimensions))
    rhs_dims = dict(zip(op.rhs_batching_dimensions, batches, strict=True))
    rhs_dims.update(zip(op.rhs_free, range(len(lhs_order), rank - inner), strict=True))
    rhs_dims.update(zip(op.rhs_contracting_dimensions, contracted, strict=True))
    dtype = dtype_of(op.lhs.type)
    wide = DType.F32 if dtype in (DType.F16, DType.BF16) else dtype

    lhs = op.lhs
    for mask in op.selected:
        chosen = arith.select(builder, mask, lhs, arith.zeros(builder, lhs.type)).owner
        assert isinstance(chosen, arith.Select)
        lhs = elementwise(builder, [chosen])
        chosen.erase()

    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, y = (arith.convert(b, value, wide) for value in args[:2])
        value = arith.product(b, x, y, op.lhs_absorbs, op.rhs_absorbs)
        for selected in args[2:]:
            value = b.insert(kernel.Gate([selected, value])).output
        return [value]

    of_lhs = AffineMap.select(rank, [lhs_dims[d] for d in range(len(left))])
    of_rhs = AffineMap.select(rank, [rhs_dims[d] for d in range(len(right))])
    # A sum over one matrix is as ordered as any other.
    one = inner and not (op.lhs_free and op.rhs_free)
    whole = max(lhs_dims, rhs_dims, key=len) if one else {}
    return make_generic(
        builder,
        sizes,
        [Read(lhs, of_lhs), Read(op.rhs, of_rhs), *(Read(mask, of_lhs) for mask in op.selected)],
        code,
        [AffineMap.select(rank, range(rank - inner))],
        ("add",) if inner else (),
        inner,
        epilogue=lambda b, args: [arith.convert(b, args[0], dtype)] if inner else args,
        order=[whole[d] for d in range(len(whole))],
    ).results


def _cumulative(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, CumSum | CumProd)
    combiner = "add" if isinstance(op, CumSum) else "mul"
    dtype = dtype_of(op.operand.type)
    narrow = dtype in (DType.F16, DType.BF16)
    wide = _converted(builder, op.operand, DType.F32) if narrow else op.operand
    attributes: dict[str, Attribute] = {
        "axis": op.axis,
        "combiner": combiner,
        "reverse": op.reverse,
        "exclusive": op.exclusive,
    }
    scanned = builder.insert(kernel.Scan([wide], attributes)).output
    return [_converted(builder, scanned, dtype)]


def _converted(builder: Builder, x: Value, dtype: DType) -> Value:
    if dtype_of(x.type) is dtype:
        return x
    same = AffineMap.identity(len(shape_of(x.type)))
    return make_generic(
        builder,
        shape_of(x.type),
        [Read(x, same)],
        lambda b, args: [arith.convert(b, args[0], dtype)],
        [same],
    ).results[0]


def _sort(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Sort | ArgSort)
    attributes = {"axis": len(shape_of(op.operand.type)) - 1, "descending": op.descending}
    new = builder.insert(kernel.Sort([op.operand], attributes))
    return [new.output if isinstance(op, Sort) else new.permutation]


def _top_k(builder: Builder, op: Operation) -> Sequence[Value] | None:
    """The beginning of everything sorted."""
    assert isinstance(op, TopK)
    shape = shape_of(op.operand.type)
    attributes = {"axis": len(shape) - 1, "descending": True}
    new = builder.insert(kernel.Sort([op.operand], attributes))
    same = AffineMap.identity(len(shape))
    taken = (*shape[:-1], op.k)
    reads = [Read(value, same) for value in new.results]
    return make_generic(builder, taken, reads, passing, [same, same]).results


REDUCTIONS: dict[type[Operation], Rule] = {
    ArgReduce: _arg_reduce,
    ArgSort: _sort,
    CumProd: _cumulative,
    CumSum: _cumulative,
    DotGeneral: _dot_general,
    Reduce: _reduce,
    Sort: _sort,
    TopK: _top_k,
}
