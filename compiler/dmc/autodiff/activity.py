"""Which values depend differentiably on given ones."""

from __future__ import annotations

from collections.abc import Iterable

from dmc.dialects import control
from dmc.dialects.autodiff import StopGradient
from dmc.ir import Block, Operation, Trait, Value, dtype_of


def is_differentiable(value: Value) -> bool:
    """Only floating-point values carry derivatives."""
    return dtype_of(value.type).is_float


def active_values(block: Block, seeds: Iterable[Value]) -> set[Value]:
    """`seeds` and the values in `block` (and inside its operations) that depend on them."""
    active = {value for value in seeds if is_differentiable(value)}
    _visit(block, active)
    return active


def _visit(block: Block, active: set[Value]) -> None:
    for op in block:
        _visit_op(op, active)


def _visit_op(op: Operation, active: set[Value]) -> None:
    match op:
        case StopGradient():
            pass
        case control.For():
            pairs = list(zip(op.inits, op.carried_args, op.next_values, op.finals, strict=True))
            _spread(active, zip(op.scanned, op.scanned_args, strict=True))
            _iterate(op.body, [(i, a, n) for i, a, n, _ in pairs], active)
            _spread(active, [(a, f) for _, a, _, f in pairs])
            _spread(active, zip(op.stacked_values, op.stacks, strict=True))
        case control.While():
            nexts = op.body.terminator.operands
            _iterate(op.body, list(zip(op.inits, op.body.args, nexts, strict=True)), active)
            _spread(active, zip(op.body.args, op.results, strict=True))
        case control.If():
            for branch in (op.on_true, op.on_false):
                _visit(branch, active)
                _spread(active, zip(branch.terminator.operands, op.results, strict=True))
        case control.Map():
            _visit(op.body, active)
            _spread(active, zip(op.body.terminator.operands, op.results, strict=True))
        case _:
            if not op.has(Trait.INTEGER_VALUED) and any(v in active for v in op.operands):
                active.update(filter(is_differentiable, op.results))


def _iterate(body: Block, carried: list[tuple[Value, Value, Value]], active: set[Value]) -> None:
    """A loop body, until no further carried value becomes active."""
    while True:
        for init, arg, following in carried:
            _spread(active, [(init, arg), (following, arg)])
        before = len(active)
        _visit(body, active)
        if not any(n in active and a not in active for _, a, n in carried):
            if len(active) == before:
                return
            continue


def _spread(active: set[Value], pairs: Iterable[tuple[Value, Value]]) -> None:
    active.update(to for origin, to in pairs if origin in active and is_differentiable(to))
