"""Tensors put together from columns are written by the kernel that computes the columns.

Runs behind fusion, so that everything before it knows one value for each result of a kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import func, kernel
from dmc.ir import AffineExpr, AffineMap, Block, Builder, Module, Operation, Value, shape_of
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.common import code_blocks
from dmc.transforms.compose import renaming
from dmc.transforms.generics import assemble
from dmc.transforms.kernel_facts import Facts
from dmc.transforms.order import Dependences
from dmc.transforms.part import Part


@dataclass(frozen=True)
class StackColumns(Pass):
    """Rewrite concatenations of columns as kernels with several values for each point.

    Such a kernel is joined with the one that computes most of its columns.
    """

    name = "stack-columns"

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            for block in code_blocks(function):
                _stack(block)


def _stack(block: Block) -> None:
    made = [_stacked(op) for op in list(block) if _is_of_columns(op)]
    facts = Facts()
    dependences = Dependences(block, facts.reads)
    for op in made:
        maker = _maker(op)
        if maker is not None and dependences.bring_together(maker, op) is None:
            code = facts.code_of([maker, op])
            new = facts.record(_joined(maker, op), code)
            dependences.joined(maker, op, new)


def _is_of_columns(op: Operation) -> bool:
    """Whether a concatenation puts single elements side by side, as often as there are points."""
    if not isinstance(op, kernel.Concatenate) or op.axis != len(shape_of(op.output.type)) - 1:
        return False
    return op.axis > 0 and all(shape_of(part.type)[-1] == 1 for part in op.parts)


def _stacked(op: Operation) -> kernel.Generic:
    """A kernel over the points of a concatenation that reads its columns."""
    assert isinstance(op, kernel.Concatenate)
    space = shape_of(op.output.type)[:-1]
    body, epilogue = Part(space), Part(space)
    values: list[Value] = []
    for part in op.parts:
        source, map_ = _column(part, space)
        maker = source.defining_op
        if isinstance(maker, kernel.Generic) and _is_constant(maker):
            by = renaming(maker.result_maps[source.index].picked() or (), len(space))
            order = [by[axis] for axis in _inverse(maker, source)]
            values.append(body.inline(maker.body, [], order)[source.index])
        else:
            values.append(body.read(source, map_))
    outputs = [epilogue.add_leading(value) for value in values]
    body.finish(values)
    epilogue.finish(outputs)
    builder = Builder.ahead_of(op)
    builder.location = op.location.by(StackColumns.name)
    new = assemble(
        builder,
        space,
        body.reads,
        body.block,
        [AffineMap.identity(len(space))],
        (),
        0,
        epilogue.reads,
        epilogue.block,
        [op.output.name],
        columns=[len(values)],
    )
    unused = [part.defining_op for part in dict.fromkeys(op.parts)]
    replace_op(op, new.results)
    _erase_unused(unused)
    return new


def _column(part: Value, space: Sequence[int]) -> tuple[Value, AffineMap]:
    """What a part of a concatenation views, by the points of `space`."""
    rank = len(space)
    view = part.defining_op
    if isinstance(view, kernel.View) and shape_of(view.source.type) == tuple(space):
        return view.source, AffineMap.identity(rank)
    points = [AffineExpr.dim(rank, d) for d in range(rank)]
    return part, AffineMap(rank, (*points, AffineExpr.number(rank, 0)))


def _is_constant(maker: kernel.Generic) -> bool:
    """Whether a kernel computes from subscripts alone."""
    plain = not maker.operands and not maker.reduction and maker.domain.is_everything
    return plain and not any(maker.loads())


def _inverse(maker: kernel.Generic, result: Value) -> list[int]:
    """The axis of a result that each dimension of its kernel is."""
    picked = maker.result_maps[result.index].picked() or ()
    return [picked.index(d) for d in range(len(picked))]


def _erase_unused(ops: Sequence[Operation | None]) -> None:
    for op in ops:
        if op is not None and op.is_pure and op.parent and not any(v.uses for v in op.results):
            makers = [value.defining_op for value in op.operands]
            op.erase()
            _erase_unused(makers)


def _maker(op: kernel.Generic) -> kernel.Generic | None:
    """The kernel that computes most of what `op` stacks, point by point."""
    found: Counter[kernel.Generic] = Counter()
    for value, map_ in zip(op.operands, op.operand_maps, strict=True):
        maker = value.defining_op
        if not isinstance(maker, kernel.Generic) or maker.parent is not op.parent:
            continue
        plain = not maker.reduction and maker.domain.is_everything
        if plain and maker.space == op.space and _reads_points(maker, op):
            assert map_.dimensions == len(op.space)
            found[maker] += 1
    return max(found, key=lambda each: found[each], default=None)


def _reads_points(maker: kernel.Generic, op: kernel.Generic) -> bool:
    """Whether `op` reads all that `maker` computes at the points where it is computed."""
    same = AffineMap.identity(len(op.space))
    columns = maker.columns or (0,) * len(maker.results)
    for value, map_ in zip(op.operands, op.operand_maps, strict=True):
        if value.owner is maker:
            along = maker.result_maps[value.index] == same and not columns[value.index]
            if map_ != same or not along:
                return False
    return True


def _joined(maker: kernel.Generic, op: kernel.Generic) -> kernel.Generic:
    """One kernel in the place of `maker`, with the results of both."""
    body, epilogue = Part.taking_body(maker), Part(maker.space)
    groups = maker.of_results(body.reopen())
    pairs = zip(op.operands, op.operand_maps, strict=True)
    args = [groups[v.index][0] if v.owner is maker else body.read(v, m) for v, m in pairs]
    own = body.inline(op.body, args)
    kept = [v for v in maker.results if any(user is not op for user in v.users)]
    values = [*(value for result in kept for value in groups[result.index]), *own]
    outputs = [epilogue.add_leading(value) for value in values]
    body.finish(values)
    epilogue.finish(outputs)
    maker.regions = ()
    columns = maker.columns or (0,) * len(maker.results)
    results = [*kept, *op.results]
    builder = Builder.ahead_of(maker)
    builder.location = maker.location
    new = assemble(
        builder,
        maker.space,
        body.reads,
        body.block,
        [*(maker.result_maps[v.index] for v in kept), *op.result_maps],
        (),
        0,
        epilogue.reads,
        epilogue.block,
        [value.name for value in results],
        columns=[*(columns[v.index] for v in kept), *op.columns],
    )
    for old, value in zip(results, new.results, strict=True):
        old.replace_all_uses_with(value)
    op.erase()
    maker.erase()
    return new
