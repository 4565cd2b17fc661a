"""Accesses that are seen to stay inside their axes are not clamped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dmc.dialects import kernel
from dmc.dialects.value_ranges import Bounds, bounds_of
from dmc.ir import Module, Value, shape_of
from dmc.ir.passes import Pass
from dmc.transforms.scalar_subscripts import Subscripts, space_of


@dataclass(frozen=True)
class ProveBounds(Pass):
    """Mark the loads and stores whose subscripts follow from spaces and from the loops around.

    `x[t + i]` in a loop over t needs no clamps where `t + i` ends inside of x; so neighbours are
    read as vectors.
    """

    name = "prove-bounds"

    def run(self, module: Module) -> None:
        for op in module.walk():
            match op:
                case kernel.Generic() if 0 not in op.space:
                    subscripts = Subscripts(space_of(op))
                    for load in op.loads():
                        ends = partial(_bounds, subscripts)
                        _prove(load, load.source, ends)
                case kernel.Load() if not isinstance(op.parent_op, kernel.Structured):
                    _prove(op, op.source, bounds_of)
                case kernel.Store():
                    _prove(op, op.target, bounds_of)
                case _:
                    pass


def _prove(
    op: kernel.Load | kernel.Store, array: Value, bounds: Callable[[Value], Bounds | None]
) -> None:
    ends = [bounds(value) for value in op.subscripts]
    pairs = zip(ends, shape_of(array.type), strict=True)
    if all(end is not None and end[0] >= 0 and end[1] < n for end, n in pairs):
        op.attributes["in_bounds"] = True


def _bounds(subscripts: Subscripts, value: Value) -> Bounds | None:
    expr = subscripts.of(value)
    return bounds_of(value) if expr is None else expr.bounds(subscripts.sizes)
