"""Building `kernel.generic` and the scalar code in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, kernel
from dmc.dialects.elementwise import splat_of
from dmc.ir import (
    UNKNOWN,
    AffineExpr,
    AffineMap,
    ArrayAttr,
    Attribute,
    Block,
    Builder,
    Clamp,
    DType,
    FloorDiv,
    Location,
    Mod,
    Region,
    TensorType,
    Value,
    dtype_of,
    shape_of,
)
from dmc.ir.affine import Quasi

Code = Callable[[Builder, list[Value]], Sequence[Value]]
"""Scalar code: from a builder and the block's arguments to the values to yield."""


@dataclass(frozen=True, slots=True)
class Read:
    """An operand of a kernel and the subscripts it is read at."""

    value: Value
    map: AffineMap


def passing(builder: Builder, args: list[Value]) -> list[Value]:
    """Code that yields its arguments."""
    return args


def block_of(dtypes: Sequence[DType], code: Code, location: Location = UNKNOWN) -> Block:
    """A block over 0-d values that ends in `kernel.yield`."""
    block = Block([TensorType((), dtype) for dtype in dtypes])
    builder = Builder(block, location=location)
    builder.insert(kernel.Yield(code(builder, block.args)))
    return block


def make_generic(
    builder: Builder,
    sizes: Sequence[int],
    reads: Sequence[Read],
    code: Code,
    writes: Sequence[AffineMap],
    combiners: Sequence[str] = (),
    reduced: int = 0,
    epilogue_reads: Sequence[Read] = (),
    epilogue: Code = passing,
    names: Sequence[str] = (),
    order: Sequence[int] = (),
) -> kernel.Generic:
    """A kernel over `sizes`, of which the last `reduced` are reduced by `combiners`."""
    location = builder.location
    body = block_of([dtype_of(read.value.type) for read in reads], code, location)
    between = [dtype_of(value.type) for value in body.terminator.operands]
    extra = [dtype_of(read.value.type) for read in epilogue_reads]
    after = block_of([*between, *extra], epilogue, location)
    return assemble(
        builder, sizes, reads, body, writes, combiners, reduced, epilogue_reads, after, names, order
    )


def assemble(
    builder: Builder,
    sizes: Sequence[int],
    reads: Sequence[Read],
    body: Block,
    writes: Sequence[AffineMap],
    combiners: Sequence[str],
    reduced: int,
    epilogue_reads: Sequence[Read],
    epilogue: Block,
    names: Sequence[str] = (),
    order: Sequence[int] = (),
    columns: Sequence[int] = (),
) -> kernel.Generic:
    """A kernel of finished blocks, in which all but what ends them have locations."""
    inputs = [*reads, *epilogue_reads]
    body.terminator.location = epilogue.terminator.location = builder.location
    attributes: dict[str, Attribute] = {
        "sizes": tuple(sizes),
        "reduction": tuple(range(len(sizes) - reduced, len(sizes))),
        "maps": ArrayAttr((*(read.map for read in inputs), *writes)),
        "combiners": ArrayAttr(tuple(combiners)),
        "epilogue_operands": len(epilogue_reads),
    }
    if order:
        attributes["order"] = tuple(order)
    if any(columns):
        attributes["columns"] = tuple(columns)
    values = [read.value for read in inputs]
    regions = [Region(body), Region(epilogue)]
    op = kernel.Generic(values, attributes, regions, location=builder.location, names=names)
    builder.block.insert(op, builder.before)
    return op


def index(builder: Builder, dim: int) -> Value:
    """The current subscript of an iteration dimension."""
    return builder.insert(kernel.Index([], {"dim": dim})).output


def load(
    builder: Builder, source: Value, subscripts: Sequence[Value], in_bounds: bool = False
) -> Value:
    """One element at dynamic subscripts; of a repeated constant or a scalar just that."""
    splat = splat_of(source)
    if splat is not None:
        return arith.scalar(builder, splat, dtype_of(source.type))
    if not subscripts:
        return source
    op = kernel.Load([source, *subscripts], {"in_bounds": in_bounds})
    return builder.insert(op).output


def clamp(builder: Builder, value: Value, low: int, high: int) -> Value:
    """`value` as an i64 within `low` and `high`, which wins when they cross."""
    wide = arith.convert(builder, value, DType.I64)
    least = arith.maximum(builder, wide, arith.index(builder, low))
    return arith.minimum(builder, least, arith.index(builder, high))


def affine_value(builder: Builder, expr: AffineExpr) -> Value:
    """The value of a subscript at the current point."""
    parts = [(c, index(builder, d)) for d, c in enumerate(expr.coefficients) if c]
    parts += [(c, _quasi_value(builder, term)) for c, term in expr.terms]
    total: Value | None = None
    for coefficient, part in parts:
        if coefficient != 1:
            part = arith.multiply(builder, part, arith.index(builder, coefficient))
        total = part if total is None else arith.add(builder, total, part)
    if total is None:
        return arith.index(builder, expr.constant)
    if expr.constant:
        total = arith.add(builder, total, arith.index(builder, expr.constant))
    return total


def _quasi_value(builder: Builder, term: Quasi) -> Value:
    inner = affine_value(builder, term.inner)
    match term:
        case FloorDiv(_, divisor):
            return arith.floor_divide(builder, inner, arith.index(builder, divisor))
        case Mod(_, divisor):
            return arith.remainder(builder, inner, arith.index(builder, divisor))
        case Clamp(_, low, high):
            return clamp(builder, inner, low, high)


def is_inside(
    builder: Builder, map_: AffineMap, shape: Sequence[int], space: Sequence[int]
) -> Value:
    """Whether `map_` leads into `shape` from the current point of `space`, as far as in doubt."""
    ends = [expr.bounds(space) for expr in map_.results]
    doubtful = [i for i, (low, high) in enumerate(ends) if low < 0 or high >= shape[i]]
    if not doubtful:
        return arith.scalar(builder, True, DType.BOOL)
    exprs = tuple(map_.results[i] for i in doubtful)
    attributes: dict[str, Attribute] = {
        "map": AffineMap(map_.dimensions, exprs),
        "shape": tuple(shape[i] for i in doubtful),
    }
    return builder.insert(kernel.Inside([], attributes)).output


def is_tensor(value: Value) -> bool:
    """Whether the value lies in memory: 0-d tensors live in registers."""
    return isinstance(value.type, TensorType) and len(shape_of(value.type)) > 0
