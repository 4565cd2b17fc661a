"""Loads that are seen to stay inside their axes are not clamped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dmc.dialects import kernel
from dmc.dialects.value_ranges import Bounds, bounds_of
from dmc.ir import Module, Value, shape_of
from dmc.ir.passes import Pass
from dmc.transforms.scalar_subscripts import Subscripts, space_of


@dataclass(frozen=True)
class ProveBounds(Pass):
    """Mark the loads whose subscripts follow from spaces and from the loops around.

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
                        _prove(load, lambda value, known=subscripts: _bounds(known, value))
                case kernel.Load() if not isinstance(op.parent_op, kernel.Structured):
                    _prove(op, bounds_of)
                case _:
                    pass


def _prove(load: kernel.Load, bounds: Callable[[Value], Bounds | None]) -> None:
    ends = [bounds(value) for value in load.subscripts]
    pairs = zip(ends, shape_of(load.source.type), strict=True)
    if all(end is not None and end[0] >= 0 and end[1] < n for end, n in pairs):
        load.attributes["in_bounds"] = True


def _bounds(subscripts: Subscripts, value: Value) -> Bounds | None:
    expr = subscripts.of(value)
    return bounds_of(value) if expr is None else expr.bounds(subscripts.sizes)
