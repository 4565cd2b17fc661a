"""Which values depend differentiably on given ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dmc.dialects.autodiff import StopGradient
from dmc.dialects.elementwise import Elementwise
from dmc.dialects.flow import reach
from dmc.ir import Block, Operation, Trait, Value, dtype_of


def is_differentiable(value: Value) -> bool:
    """Only floating-point values carry derivatives."""
    return dtype_of(value.type).is_float


def smooth_operands(op: Operation) -> Sequence[Value]:
    """The operands that the results of an operation depend on differentiably."""
    if isinstance(op, StopGradient) or op.has(Trait.INTEGER_VALUED):
        return ()
    if isinstance(op, Elementwise) and op.terms:
        terms = zip(op.operands, op.terms, strict=True)
        return [value for value, term in terms if term is not None]
    return op.operands


def active_values(
    block: Block,
    seeds: Iterable[Value],
    smooth: Callable[[Operation], Sequence[Value]] = smooth_operands,
) -> set[Value]:
    """`seeds` and the values in `block` (and inside its operations) that depend on them."""
    active = {value for value in seeds if is_differentiable(value)}

    def step(op: Operation) -> Iterable[Value]:
        if not active.isdisjoint(smooth(op)):
            return filter(is_differentiable, op.results)
        return ()

    reach(block, active, step, is_differentiable)
    return active
