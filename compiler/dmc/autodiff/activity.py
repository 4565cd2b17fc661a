"""Which values depend differentiably on given ones."""

from __future__ import annotations

from collections.abc import Iterable

from dmc.dialects.autodiff import StopGradient
from dmc.dialects.flow import reach
from dmc.ir import Block, Operation, Trait, Value, dtype_of


def is_differentiable(value: Value) -> bool:
    """Only floating-point values carry derivatives."""
    return dtype_of(value.type).is_float


def active_values(block: Block, seeds: Iterable[Value]) -> set[Value]:
    """`seeds` and the values in `block` (and inside its operations) that depend on them."""
    active = {value for value in seeds if is_differentiable(value)}

    def step(op: Operation) -> Iterable[Value]:
        plain = not isinstance(op, StopGradient) and not op.has(Trait.INTEGER_VALUED)
        if plain and any(value in active for value in op.operands):
            return filter(is_differentiable, op.results)
        return ()

    reach(block, active, step, is_differentiable)
    return active
