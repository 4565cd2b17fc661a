"""Quasi-affine reads and predicates become scalar code, once kernels have been fused."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import arith, kernel
from dmc.ir import AffineExpr, Block, Builder, Clamp, Location, Module, Value, shape_of
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.generics import Read, affine_value, assemble


@dataclass(frozen=True)
class SettleSubscripts(Pass):
    """Rewrite reads through maps that are not affine as loads, and predicates as comparisons.

    As maps and predicates they compose when kernels are fused; the schedules want strides.
    """

    name = "settle-subscripts"

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            if isinstance(op, kernel.Generic) and not _is_settled(op):
                _settle(op)


def _is_settled(op: kernel.Generic) -> bool:
    predicates = any(isinstance(inner, kernel.Inside) for r in op.regions for inner in r.block)
    return not predicates and all(map_.is_affine for map_ in op.operand_maps)


def _settle(op: kernel.Generic) -> None:
    mapped = [Read(v, m) for v, m in zip(op.operands, op.operand_maps, strict=True)]
    count = op.body_count
    leading = len(op.epilogue.args) - op.epilogue_operands
    body, reads = _settled(op.body, 0, mapped[:count], op.location)
    epilogue, extra = _settled(op.epilogue, leading, mapped[count:], op.location)
    builder = Builder.ahead_of(op)
    builder.location = op.location
    names = [value.name for value in op.results]
    new = assemble(
        builder,
        op.space,
        reads,
        body,
        op.result_maps,
        op.combiner_names,
        len(op.reduction),
        extra,
        epilogue,
        names,
        op.order,
    )
    replace_op(op, new.results)


def _settled(
    block: Block, leading: int, reads: list[Read], location: Location
) -> tuple[Block, list[Read]]:
    """A copy of `block`, whose arguments after `leading` are `reads`, and the reads it keeps."""
    new = Block()
    builder = Builder(new, location=location)
    mapping: dict[Value, Value] = {}
    kept: list[Read] = []
    loads: list[tuple[Value, Read]] = []
    for i, arg in enumerate(block.args):
        read = None if i < leading else reads[i - leading]
        if read is not None and not read.map.is_affine:
            loads.append((arg, read))
            continue
        mapping[arg] = new.add_arg(arg.type, arg.name)
        if read is not None:
            kept.append(read)
    for arg, read in loads:
        mapping[arg] = _load(builder, read)
    for op in block:
        if isinstance(op, kernel.Inside):
            mapping[op.output] = _holds(builder, op)
        else:
            builder.insert(op.clone(mapping))
    return new, kept


def _load(builder: Builder, read: Read) -> Value:
    """The element as a load, which clamps by itself where the map clamps into the axis."""
    shape = shape_of(read.value.type)
    exprs = [_unclamped(e, n) for e, n in zip(read.map.results, shape, strict=True)]
    subscripts = [affine_value(builder, expr) for expr in exprs]
    in_bounds = tuple(exprs) == read.map.results
    op = kernel.Load([read.value, *subscripts], {"in_bounds": in_bounds})
    return builder.insert(op).output


def _unclamped(expr: AffineExpr, size: int) -> AffineExpr:
    match expr.terms:
        case ((1, Clamp(inner, 0, high)),) if high == size - 1 and not any(expr.coefficients):
            return inner if expr.constant == 0 else expr
        case _:
            return expr


def _holds(builder: Builder, op: kernel.Inside) -> Value:
    """Whether all subscripts are inside, compared one by one."""
    found: Value | None = None
    zero = arith.index(builder, 0)
    for expr, size in zip(op.map.results, op.shape, strict=True):
        at = affine_value(builder, expr)
        if size == 1:
            tests = [arith.compare(builder, arith.Direction.EQ, at, zero)]
        else:
            end = arith.index(builder, size)
            tests = [
                arith.compare(builder, arith.Direction.GE, at, zero),
                arith.compare(builder, arith.Direction.LT, at, end),
            ]
        for test in tests:
            found = test if found is None else arith.logical_and(builder, found, test)
    assert found is not None
    return found
