"""From the tensor level to the kernel level: every operation becomes a kernel of its own.

But for elementwise ones that only feed one another (see `dmc.transforms.trees`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, autodiff, kernel
from dmc.dialects.elementwise import splat_of
from dmc.dialects.tensor import (
    ArgReduce,
    ArgSort,
    BroadcastInDim,
    Concatenate,
    CumProd,
    CumSum,
    DotGeneral,
    DynamicSlice,
    DynamicUpdateSlice,
    Extract,
    FromElements,
    Gather,
    Iota,
    Kind,
    Pad,
    Reduce,
    Reshape,
    Reverse,
    Scatter,
    Slice,
    Sort,
    TopK,
    Transpose,
)
from dmc.dialects.tensor import Read as TensorRead
from dmc.ir import (
    AffineExpr,
    AffineMap,
    ArrayAttr,
    Attribute,
    Builder,
    Clamp,
    DType,
    Module,
    Operation,
    Region,
    Value,
    dtype_of,
    shape_of,
)
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.generics import (
    Read,
    block_of,
    clamp,
    index,
    is_inside,
    is_tensor,
    load,
    make_generic,
    passing,
)
from dmc.transforms.trees import Trees, elementwise, is_elementwise

COMBINER = {
    Kind.SUM: "add",
    Kind.PROD: "mul",
    Kind.MAX: "max",
    Kind.MIN: "min",
    Kind.ANY: "max",
    Kind.ALL: "min",
}
"""The combiner of each reduction; `i1` is ordered false before true."""


@dataclass(frozen=True)
class Kernelize(Pass):
    """Rewrite each operation of the tensor level as a kernel.

    Arithmetic on 0-d tensors stays, and so does control flow, whose regions are rewritten.
    Constants of equal elements become scalars in the kernels that read them.
    """

    name = "kernelize"

    def run(self, module: Module) -> None:
        constants: list[arith.Constant] = []
        trees = Trees(self.name)
        for op in list(module.walk()):
            if isinstance(op, arith.Constant):
                constants.append(op)
                continue
            if isinstance(op.parent_op, kernel.Structured):
                continue
            rule = RULES.get(type(op))
            if rule is None:
                if is_elementwise(op):
                    trees.add(op)
                continue
            builder = Builder.ahead_of(op)
            builder.location = op.location.by(self.name)
            values = rule(builder, op)
            if values is not None:
                replace_op(op, values)
        for op in constants:
            _settle(op)


_MOST_STRETCH = 4
"""Clamped elements of an axis are at most about so many times as many as it has."""

Rule = Callable[[Builder, Operation], Sequence[Value] | None]
"""The kernels that compute an operation's results, or None to leave it as it is."""


def _settle(op: arith.Constant) -> None:
    """Fill a buffer for a repeated constant that is used whole; drop an unused one."""
    splat = splat_of(op.result)
    if op.result.uses and is_tensor(op.result) and splat is not None:
        shape, dtype = shape_of(op.result.type), dtype_of(op.result.type)
        builder = Builder.ahead_of(op)
        fill = make_generic(
            builder,
            shape,
            [],
            lambda b, _: [arith.scalar(b, splat, dtype)],
            [AffineMap.identity(len(shape))],
        )
        op.result.replace_all_uses_with(fill.results[0])
    if not op.result.uses:
        op.erase()


def _moved(builder: Builder, op: Operation, source: Value, exprs: Sequence[AffineExpr]) -> Value:
    """The result of `op` as `source` read through subscripts over the result's axes."""
    shape = shape_of(op.results[0].type)
    write = AffineMap.identity(len(shape))
    splat = splat_of(source)
    if splat is not None:
        dtype = dtype_of(source.type)
        fill = make_generic(
            builder, shape, [], lambda b, _: [arith.scalar(b, splat, dtype)], [write]
        )
        return fill.results[0]
    read = Read(source, AffineMap(len(shape), tuple(exprs)))
    return make_generic(builder, shape, [read], passing, [write]).results[0]


def _broadcast(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, BroadcastInDim)
    rank = len(op.shape)
    exprs = [
        AffineExpr.number(rank, 0) if n == 1 else AffineExpr.dim(rank, d)
        for n, d in zip(shape_of(op.operand.type), op.broadcast_dimensions, strict=True)
    ]
    return [_moved(builder, op, op.operand, exprs)]


def _transpose(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Transpose)
    rank = len(op.permutation)
    places = {p: d for d, p in enumerate(op.permutation)}
    return [_moved(builder, op, op.operand, [AffineExpr.dim(rank, places[p]) for p in range(rank)])]


def _reverse(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Reverse)
    shape = shape_of(op.operand.type)
    rank = len(shape)
    exprs = [
        AffineExpr.dim(rank, d, -1, n - 1) if d in op.dimensions else AffineExpr.dim(rank, d)
        for d, n in enumerate(shape)
    ]
    return [_moved(builder, op, op.operand, exprs)]


def _slice(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Slice)
    rank = len(op.strides)
    parts = zip(op.strides, op.start_indices, strict=True)
    exprs = [AffineExpr.dim(rank, d, stride, start) for d, (stride, start) in enumerate(parts)]
    return [_moved(builder, op, op.operand, exprs)]


def _iota(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Iota)
    shape, dtype = op.type.shape, op.type.dtype
    axis = op.iota_dimension
    kernel_ = make_generic(
        builder,
        shape,
        [],
        lambda b, _: [arith.convert(b, index(b, axis), dtype)],
        [AffineMap.identity(len(shape))],
    )
    return kernel_.results


def _reshape(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Reshape)
    if not is_tensor(op.operand):
        return [_moved(builder, op, op.operand, [])]
    if not op.shape:
        zero = arith.index(builder, 0)
        return [load(builder, op.operand, [zero] * len(shape_of(op.operand.type)), True)]
    return builder.insert(kernel.View([op.operand], {"shape": op.shape})).results


def _read(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, TensorRead)
    source, exprs = op.operand, list(op.map.results)
    for axis, expr in enumerate(exprs):
        window, shape = _clamped_window(expr), list(shape_of(source.type))
        low, high = (0, 0) if window is None else window.inner.bounds(op.sizes)
        if window is not None and 0 not in op.sizes and high - low < _MOST_STRETCH * shape[axis]:
            shape[axis] = high - low + 1
            ends = [AffineExpr.dim(len(shape), d) for d in range(len(shape))]
            ends[axis] = ends[axis].plus(low).clamp(window.low, window.high, shape)
            ends[axis] = ends[axis].plus(expr.constant)
            source = _guarded(builder, source, shape, ends, 0)
            exprs[axis] = window.inner.plus(-low)
    return [_guarded(builder, source, op.sizes, exprs, 0)]


def _clamped_window(expr: AffineExpr) -> Clamp | None:
    """The clamp of several dimensions that a subscript is.

    As a window over clamped elements it can be read by a contraction, for which these are copied;
    other kernels read both at once.
    """
    match expr.terms:
        case ((1, Clamp(inner) as clamp),) if not any(expr.coefficients):
            return clamp if inner.is_affine and len(inner.dims()) > 1 else None
        case _:
            return None


def _pad(builder: Builder, op: Operation) -> Sequence[Value] | None:
    """The padded tensor read where a position, less the padding, is a multiple of the step."""
    assert isinstance(op, Pad)
    sizes = shape_of(op.result.type)
    rank = len(sizes)
    exprs: list[AffineExpr] = []
    whole: list[AffineExpr] = []
    for d in range(rank):
        at = AffineExpr.dim(rank, d, 1, -op.edge_padding_low[d])
        step = op.interior_padding[d] + 1
        exprs.append(at.floordiv(step, sizes))
        if step > 1:
            whole.append(at.mod(step, sizes))
    return [_guarded(builder, op.input, sizes, exprs, op.padding_value, whole)]


def _guarded(
    builder: Builder,
    source: Value,
    sizes: Sequence[int],
    exprs: Sequence[AffineExpr],
    outside: Value | float,
    zeros: Sequence[AffineExpr] = (),
) -> Value:
    """`source` read at `exprs`; `outside` where these leave it or one of `zeros` is not zero."""
    rank, shape, dtype = len(sizes), shape_of(source.type), dtype_of(source.type)
    condition = AffineMap(rank, (*exprs, *zeros))
    bounds = (*shape, *(1 for _ in zeros))
    splat = splat_of(source)
    fill = splat_of(outside) if isinstance(outside, Value) else outside
    reads: list[Read] = []
    if splat is None and 0 not in shape:
        pairs = zip(exprs, shape, strict=True)
        clamped = tuple(e.clamp(0, n - 1, sizes) for e, n in pairs)
        reads.append(Read(source, AffineMap(rank, clamped)))
    if fill is None and isinstance(outside, Value):
        reads.append(Read(outside, AffineMap(rank, ())))

    def code(b: Builder, args: list[Value]) -> list[Value]:
        other = args[-1] if fill is None else arith.scalar(b, fill, dtype)
        if 0 in shape:
            return [other]
        element = args[0] if splat is None else arith.scalar(b, splat, dtype)
        if condition.stays_inside(sizes, bounds):
            return [element]
        return [arith.select(b, is_inside(b, condition, bounds, sizes), element, other)]

    return make_generic(builder, sizes, reads, code, [AffineMap.identity(rank)]).results[0]


def _concatenate(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Concatenate)
    return builder.insert(kernel.Concatenate(op.parts, {"axis": op.dimension})).results


def _from_elements(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, FromElements)
    shape = (len(op.elements),)
    return builder.insert(kernel.FromElements(op.elements, {"shape": shape})).results


def _extract(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Extract)
    return [load(builder, op.operand, op.indices)]


def _dynamic_slice(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, DynamicSlice)
    sizes, outer = op.slice_sizes, shape_of(op.operand.type)
    rank = len(sizes)
    moving = [d for d in range(rank) if sizes[d] < outer[d]]
    reads = [Read(op.start_indices[d], AffineMap(rank, ())) for d in moving]

    def code(b: Builder, args: list[Value]) -> list[Value]:
        starts = dict(zip(moving, args, strict=True))
        subscripts: list[Value] = []
        for d in range(rank):
            at = index(b, d)
            if d in starts:
                at = arith.add(b, clamp(b, starts[d], 0, outer[d] - sizes[d]), at)
            subscripts.append(at)
        return [load(b, op.operand, subscripts, in_bounds=True)]

    return make_generic(builder, sizes, reads, code, [AffineMap.identity(rank)]).results


def _dynamic_update_slice(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, DynamicUpdateSlice)
    if not is_tensor(op.input):
        return [op.update]
    attributes: dict[str, Attribute] = {"combiner": op.combiner.value}
    element = _element(builder, op.update)
    if element is not None:
        operands = (op.input, element, *op.start_indices)
        return builder.insert(kernel.Store(operands, attributes)).results
    return builder.insert(kernel.UpdateWindow(op.operands, attributes)).results


def _element(builder: Builder, array: Value) -> Value | None:
    """What an array of one element was made from."""
    if any(n != 1 for n in shape_of(array.type)):
        return None
    splat, made = splat_of(array), array.defining_op
    if splat is not None:
        return arith.scalar(builder, splat, dtype_of(array.type))
    if isinstance(made, kernel.Generic) and len(made.operands) == 1 and not made.outside.items:
        (source,) = made.operands
        moves = not made.reduction and made.reduced == (made.body.args[0],)
        return source if moves and not shape_of(source.type) else None
    return None


def _gather(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Gather)
    sizes = shape_of(op.result.type)
    reads = _index_reads(op, len(sizes))

    def code(b: Builder, args: list[Value]) -> list[Value]:
        return [load(b, op.operand, _subscripts(b, op, args))]

    if not sizes:
        scalars = [arith.convert(builder, value, DType.I64) for value in op.indices]
        return [load(builder, op.operand, _subscripts(builder, op, scalars))]
    return make_generic(builder, sizes, reads, code, [AffineMap.identity(len(sizes))]).results


def _index_reads(op: Gather | Scatter, rank: int) -> list[Read]:
    picked = range(len(op.index_shape))
    return [Read(value, AffineMap.select(rank, picked)) for value in op.indices]


def _subscripts(b: Builder, op: Gather | Scatter, indices: Sequence[Value]) -> list[Value]:
    """Where the element at the current point lies in the indexed tensor."""
    lead = len(op.index_shape)
    found: dict[int, Value] = {
        d: arith.convert(b, value, DType.I64)
        for d, value in zip(op.start_index_map, indices, strict=True)
    }
    pairs = zip(op.operand_batching_dims, op.start_indices_batching_dims, strict=True)
    found.update({d: index(b, i) for d, i in pairs})
    found.update({d: index(b, lead + k) for k, d in enumerate(op.whole_dims)})
    return [found[d] for d in range(len(found))]


def _scatter(builder: Builder, op: Operation) -> Sequence[Value] | None:
    assert isinstance(op, Scatter)
    sizes, shape = shape_of(op.updates.type), shape_of(op.input.type)
    rank = len(sizes)
    splat = splat_of(op.updates)
    dtype = dtype_of(op.updates.type)
    reads = _index_reads(op, rank)
    if splat is None:
        reads.append(Read(op.updates, AffineMap.identity(rank)))

    def code(b: Builder, args: list[Value]) -> list[Value]:
        update = args[-1] if splat is None else arith.scalar(b, splat, dtype)
        indices = [
            clamp(b, value, 0, shape[d] - 1)
            for value, d in zip(args, op.start_index_map, strict=False)
        ]
        return [*_subscripts(b, op, indices), update]

    body = block_of([dtype_of(read.value.type) for read in reads], code)
    new = kernel.Scatter(
        [op.input, *(read.value for read in reads)],
        {
            "sizes": sizes,
            "maps": ArrayAttr(tuple(read.map for read in reads)),
            "combiner": op.combiner.value,
        },
        [Region(body)],
    )
    return builder.insert(new).results


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


def _stop_gradient(builder: Builder, op: Operation) -> Sequence[Value] | None:
    return op.operands


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


RULES: dict[type[Operation], Rule] = {
    ArgReduce: _arg_reduce,
    ArgSort: _sort,
    BroadcastInDim: _broadcast,
    Concatenate: _concatenate,
    CumProd: _cumulative,
    CumSum: _cumulative,
    DotGeneral: _dot_general,
    DynamicSlice: _dynamic_slice,
    DynamicUpdateSlice: _dynamic_update_slice,
    Extract: _extract,
    FromElements: _from_elements,
    Gather: _gather,
    Iota: _iota,
    Pad: _pad,
    TensorRead: _read,
    Reduce: _reduce,
    Reshape: _reshape,
    Reverse: _reverse,
    Scatter: _scatter,
    Slice: _slice,
    Sort: _sort,
    TopK: _top_k,
    Transpose: _transpose,
    autodiff.StopGradient: _stop_gradient,
}
