"""Sums of what one subscript selects, as additions at that subscript.

The derivative of a minimum over k reaches the winner alone: in `sum[n](if k == w[n] { g } else
{ 0 })` every n adds to one k only. Instead of looking at all pairs, each n adds its term at w[n].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, kernel
from dmc.dialects.elementwise import splat_of
from dmc.ir import (
    AffineExpr,
    AffineMap,
    ArrayAttr,
    Attribute,
    Block,
    Builder,
    DType,
    Module,
    Region,
    TensorType,
    Value,
    dtype_of,
)
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.compose import into_consumer
from dmc.transforms.generics import Read, assemble, block_of, index, load, passing

ADDITION = 4
"""What an addition somewhere costs, in terms of a sum: fewer alternatives are all looked at."""


@dataclass(frozen=True)
class ScatterSelections(Pass):
    """Let sums of selected terms become additions at what selects them."""

    name = "scatter-selections"

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            if isinstance(op, kernel.Generic) and op.parent is not None and _is_one_sum(op):
                _scatter(_with_selection(op))


@dataclass(frozen=True)
class _Selection:
    """A value of a body that is zero unless the subscript `dimension` equals an argument."""

    select: arith.Select
    dimension: int
    chosen: Value


def _is_one_sum(op: kernel.Generic) -> bool:
    """Whether a kernel sums one value over all of its space."""
    return op.combiner_names == ("add",) and op.domain.is_everything and not op.stored


def _with_selection(op: kernel.Generic) -> kernel.Generic:
    """`op` with a selection computed in its body that it would read, if its terms follow it."""
    for i, value in enumerate(op.body_inputs):
        made = value.defining_op
        if not isinstance(made, kernel.Generic) or made.reduction or len(made.results) != 1:
            continue
        yielded = next(iter(made.body.terminator.operands))
        if _selection(made, yielded) and _follows(op.reduced[0], op.body.args[i]):
            new = into_consumer([made], op)
            if not made.results[0].uses:
                made.erase()
            return new
    return op


def _selection(op: kernel.Generic, value: Value) -> _Selection | None:
    """What `value` is selected by, in the body of `op`."""
    select = value.defining_op
    if not isinstance(select, arith.Select) or splat_of(select.on_false) != 0:
        return None
    test = select.predicate.defining_op
    if not isinstance(test, arith.Compare) or test.direction is not arith.Direction.EQ:
        return None
    for one, other in ((test.lhs, test.rhs), (test.rhs, test.lhs)):
        subscript, chosen = _unconverted(one).defining_op, _unconverted(other)
        if not isinstance(subscript, kernel.Index) or chosen.owner is not op.body:
            continue
        free = subscript.dim not in op.operand_maps[chosen.index].dims()
        if free and subscript.dim in op.parallel and dtype_of(chosen.type).is_integer:
            return _Selection(select, subscript.dim, chosen)
    return None


def _unconverted(value: Value) -> Value:
    """What an integer was converted from."""
    while isinstance(op := value.defining_op, arith.Convert) and dtype_of(value.type).is_integer:
        value = op.operands[0]
    return value


def _follows(value: Value, selected: Value) -> bool:
    """Whether `value` is surely zero where `selected` is, whatever else there is."""
    if value is selected:
        return True
    match value.defining_op:
        case arith.Product() as op:
            left = op.lhs_absorbs and _follows(op.lhs, selected)
            return left or (op.rhs_absorbs and _follows(op.rhs, selected))
        case arith.Add() | arith.Subtract() | arith.Negate() as op:
            return all(_follows(operand, selected) for operand in op.operands)
        case _:
            return False


def _scatter(op: kernel.Generic) -> None:
    """Replace a sum by additions, if its terms follow a selection of many alternatives."""
    for inner in op.body:
        found = _selection(op, inner.results[0]) if isinstance(inner, arith.Select) else None
        if found is None or not _follows(op.reduced[0], found.select.result):
            continue
        across = [m for m in op.operand_maps if found.dimension in m.dims()]
        if op.space[found.dimension] > ADDITION and all(map_.is_affine for map_ in across):
            _emit(op, found)
            return


def _emit(op: kernel.Generic, by: _Selection) -> None:
    order = [*op.reduction, *(d for d in op.parallel if d != by.dimension)]
    place = {d: i for i, d in enumerate(order)}
    builder = Builder.ahead_of(op)
    builder.location = op.location.by(ScatterSelections.name)
    block = Block()
    inside = Builder(block, location=builder.location)
    operands: list[Value] = []
    maps: list[AffineMap] = []
    mapping: dict[Value, Value] = {}

    def take(i: int) -> None:
        """Operand `i`, read at the points that are left."""
        value, arg = op.operands[i], op.body.args[i]
        operands.append(value)
        maps.append(_moved(op.operand_maps[i], op.space, order))
        mapping[arg] = block.add_arg(TensorType((), dtype_of(value.type)), arg.name)

    inputs = range(op.body_count)
    across = [i for i in inputs if by.dimension in op.operand_maps[i].dims()]
    for i in inputs:
        if i not in across:
            take(i)
    at = arith.convert(inside, mapping[by.chosen], DType.I64)
    subscripts = {d: index(inside, i) for d, i in place.items()} | {by.dimension: at}
    for i in across:
        places = [_subscript(inside, expr, subscripts) for expr in op.operand_maps[i].results]
        mapping[op.body.args[i]] = load(inside, op.operands[i], places)
    for inner in op.body:
        if isinstance(inner, kernel.Index):
            mapping[inner.output] = subscripts[inner.dim]
        elif inner is by.select:
            mapping[by.select.result] = mapping.get(by.select.on_true, by.select.on_true)
        elif inner is not op.body.terminator:
            inside.insert(inner.clone(mapping))
    total = mapping.get(op.reduced[0], op.reduced[0])
    axes = _axes(op)
    inside.insert(kernel.Yield([*(subscripts[d] for d in axes), total]))
    shape = tuple(op.space[d] for d in axes)
    target = arith.zeros(builder, TensorType(shape, dtype_of(total.type)))
    attributes: dict[str, Attribute] = {
        "sizes": tuple(op.space[d] for d in order),
        "maps": ArrayAttr(tuple(maps)),
        "combiner": "add",
    }
    made = kernel.Scatter([target, *operands], attributes, [Region(block)])
    _finish(op, builder.insert(made).results[0])


def _axes(op: kernel.Generic) -> tuple[int, ...]:
    """The dimensions that the sums are stored along, in the order of the results if they can be."""
    orders = {map_.picked() or () for map_ in op.result_maps}
    return orders.pop() if len(orders) == 1 else op.parallel


def _finish(op: kernel.Generic, sums: Value) -> None:
    """Replace a kernel by its sums, or by what its epilogue makes of them."""
    if op.epilogue.terminator.operands == tuple(op.epilogue.args):
        replace_op(op, [sums])
        return
    builder = Builder.ahead_of(op)
    builder.location = op.location.by(ScatterSelections.name)
    parallel, axes = op.parallel, _axes(op)
    maps = [_moved(map_, op.space, parallel) for map_ in op.affine_maps[op.body_count :]]
    order = AffineMap.select(len(parallel), axes)
    values = [sums, *op.epilogue_inputs]
    reads = [Read(*each) for each in zip(values, [order, *maps], strict=False)]
    code = op.regions[1].clone({}).block
    passed = block_of([dtype_of(v.type) for v in code.terminator.operands], passing)
    writes = maps[op.epilogue_operands :]
    names = [value.name for value in op.results]
    new = assemble(builder, op.parallel_sizes, reads, code, writes, (), 0, (), passed, names)
    replace_op(op, new.results)


def _moved(map_: AffineMap, space: Sequence[int], order: Sequence[int]) -> AffineMap:
    """A map that does not read all dimensions of a space, over those in `order`."""
    count = len(order)
    by = [
        AffineExpr.dim(count, order.index(d)) if d in order else AffineExpr.number(count, 0)
        for d in range(map_.dimensions)
    ]
    return map_.substitute(by, count, [space[d] for d in order])


def _subscript(builder: Builder, expr: AffineExpr, subscripts: Mapping[int, Value]) -> Value:
    total = arith.index(builder, expr.constant)
    for d, c in enumerate(expr.coefficients):
        if c:
            part = arith.multiply(builder, subscripts[d], arith.index(builder, c))
            total = arith.add(builder, total, part)
    return total
