"""Folds and canonical forms, applied until nothing changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import arith, control, tensor
from dmc.ir import Builder, Module, Operation, Trait, Value
from dmc.ir.passes import Pass
from dmc.ir.rewriter import Pattern, pattern, rewrite
from dmc.transforms.common import constant_scalar, inline_block, materialize, take_regions
from dmc.transforms.pads import join_pads


@dataclass(frozen=True)
class Canonicalize(Pass):
    """Apply `fold` and `canonicalize` of every operation, and remove what becomes unused."""

    name = "canonicalize"

    def run(self, module: Module) -> None:
        rewrite(module, PATTERNS)


def _fold(op: Operation, builder: Builder) -> Sequence[Value] | None:
    if not op.results:
        return None
    folded = op.fold()
    if folded is None:
        return None
    return [materialize(builder, made, old) for made, old in zip(folded, op.results, strict=True)]


def _may_fold(kind: type[Operation]) -> bool:
    return kind.fold is not Operation.fold and Trait.CONSTANT not in kind.traits


def _canonicalize(op: Operation, builder: Builder) -> Sequence[Value] | None:
    return op.canonicalize(builder)


def _constant_last(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """Constants stand last among the operands of commutative operations."""
    first, second = op.operands
    if isinstance(second.owner, arith.Constant) or not isinstance(first.owner, arith.Constant):
        return None
    swapped = type(op)(op.operands[::-1], op.attributes, (), op.result_types, op.location)
    return builder.insert(swapped).results


@pattern(control.If)
def _known_branch(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """An `if` whose condition is known is one of its regions."""
    assert isinstance(op, control.If)
    known = constant_scalar(op.condition)
    if known is None:
        return None
    return inline_block(op.on_true if known else op.on_false, (), builder)


@pattern(control.For)
def _known_count(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """A `for` that runs once is its body; one that never runs is its initial values."""
    assert isinstance(op, control.For)
    count = constant_scalar(op.count)
    whole = bool(op.scanned or op.stacks)
    if count is not None and op.trip_count < 0 and (not whole or op.most == count):
        attributes = {**op.attributes, "trip_count": max(int(count), 0)}
        known = control.For(op.operands, attributes, op.regions, op.result_types, op.location)
        take_regions(op)
        return builder.insert(known).results
    if count is None or op.stacks:
        return None
    if count <= 0:
        return op.inits
    if count > 1 or op.scanned:
        return None
    return inline_block(op.body, [arith.index(builder, 0), *op.inits], builder)


PATTERNS: tuple[Pattern, ...] = (
    Pattern(_fold, _may_fold),
    Pattern(_canonicalize, lambda kind: kind.canonicalize is not Operation.canonicalize),
    Pattern(_constant_last, lambda kind: Trait.COMMUTATIVE in kind.traits),
    _known_branch,
    _known_count,
    join_pads,
    *tensor.PATTERNS,
)
"""All canonical forms, for passes whose own rewrites profit from them."""
