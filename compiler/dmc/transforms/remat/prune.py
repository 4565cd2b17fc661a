"""Kernels without the results that nothing reads any more."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import func, kernel
from dmc.ir import ArrayAttr, Attribute, Builder, Region, dtype_of
from dmc.transforms.common import code, take_regions
from dmc.transforms.generics import block_of, passing


def prune_results(function: func.Func) -> None:
    """Drop the unused results of kernels that have used ones too."""
    for op in list(code(function)):
        if isinstance(op, kernel.Generic) and any(v.uses for v in op.results):
            kept = [value.index for value in op.results if value.uses]
            if len(kept) < len(op.results):
                _replace(op, _without(op, kept), kept)


def _replace(op: kernel.Generic, new: kernel.Generic, kept: Sequence[int]) -> None:
    Builder.ahead_of(op).insert(new)
    for old, value in zip(kept, new.results, strict=True):
        op.results[old].replace_all_uses_with(value)
    op.erase()


def _without(op: kernel.Generic, kept: Sequence[int]) -> kernel.Generic:
    """`op` with only the results `kept`; its regions are taken over."""
    finished = len(op.results) - len(op.stored)
    attributes = dict(op.attributes)
    writes = [op.result_maps[i] for i in kept]
    operands, regions = op.operands, op.regions
    attributes["maps"] = ArrayAttr((*op.operand_maps, *writes))
    if not op.reduction or kept[0] >= finished:
        operands = op.body_inputs
        regions = _point_by_point(op, kept, attributes)
    else:
        body, epilogue = op.body.terminator, op.epilogue.terminator
        count = len(op.reduced)
        stored = [body.operands[count + i - finished] for i in kept if i >= finished]
        body.set_operands([*body.operands[:count], *stored])
        epilogue.set_operands([epilogue.operands[i] for i in kept if i < finished])
    names = [op.results[i].name for i in kept]
    take_regions(op)
    return kernel.Generic(operands, attributes, regions, location=op.location, names=names)


def _point_by_point(
    op: kernel.Generic, kept: Sequence[int], attributes: dict[str, Attribute]
) -> Sequence[Region]:
    """Regions of a kernel that only yields some of what the body of `op` does."""
    body = op.body.terminator
    finished = op.epilogue.terminator.operands if op.reduction else ()
    groups = op.of_results([*finished, *(op.stored if op.reduction else body.operands)])
    yielded = [value for i in kept for value in groups[i]]
    if op.columns:
        attributes["columns"] = tuple(op.columns[i] for i in kept)
    body.set_operands(yielded)
    if op.outside.items:
        attributes["outside"] = ArrayAttr(tuple(op.outside.items[i] for i in kept))
    writes = [op.result_maps[i] for i in kept]
    attributes["maps"] = ArrayAttr((*op.operand_maps[: op.body_count], *writes))
    attributes |= {"reduction": (), "combiners": ArrayAttr(()), "epilogue_operands": 0}
    attributes.pop("order", None)
    after = block_of([dtype_of(value.type) for value in yielded], passing, op.location)
    op.epilogue.drop_all()
    return op.regions[0], Region(after)
