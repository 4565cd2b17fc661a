"""Kernels that move elements: what they compute are subscripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dmc.dialects import arith, kernel
from dmc.dialects.elementwise import splat_of
from dmc.dialects.tensor import (
    BroadcastInDim,
    Concatenate,
    DynamicSlice,
    DynamicUpdateSlice,
    Extract,
    FromElements,
    Gather,
    Iota,
    Pad,
    Reshape,
    Reverse,
    Scatter,
    Slice,
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
    Operation,
    Region,
    Value,
    dtype_of,
    shape_of,
)
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

_MOST_STRETCH = 4
"""Clamped elements of an axis are at most about so many times as many as it has."""

Rule = Callable[[Builder, Operation], Sequence[Value] | None]
"""The kernels that compute an operation's results, or None to leave it as it is."""


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


MOVEMENT: dict[type[Operation], Rule] = {
    BroadcastInDim: _broadcast,
    Concatenate: _concatenate,
    DynamicSlice: _dynamic_slice,
    DynamicUpdateSlice: _dynamic_update_slice,
    Extract: _extract,
    FromElements: _from_elements,
    Gather: _gather,
    Iota: _iota,
    Pad: _pad,
    TensorRead: _read,
    Reshape: _reshape,
    Reverse: _reverse,
    Scatter: _scatter,
    Slice: _slice,
    Transpose: _transpose,
}
