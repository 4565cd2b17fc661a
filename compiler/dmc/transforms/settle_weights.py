"""Zeros that are meant absorb what they are multiplied with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from dmc.dialects import arith, control, func, tensor
from dmc.dialects.flow import reach
from dmc.ir import Module, Operation, Value
from dmc.ir.passes import Pass
from dmc.transforms.guards import Guarded, guard

_MOVES = (
    arith.Convert,
    tensor.BroadcastInDim,
    tensor.Extract,
    tensor.Read,
    tensor.Reshape,
    tensor.Reverse,
    tensor.Slice,
    tensor.Transpose,
)
"""What gives elements of its first operand, zeros for zeros."""


@dataclass(frozen=True)
class SettleWeights(Pass):
    """Guard the products of weights.

    The elements of a weight (`arith.weight`), wherever they are moved, and products with them are
    weights. It runs on functions that are whole, before anything is differentiated. What marks the
    weights goes with `relax-guards`, which is told by it that their zeros count.
    """

    name = "settle-weights"

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            if has_weights(function):
                weights: set[Value] = set()
                reach(function.body, weights, partial(_step, weights), _is_mapped)
                for op in list(function.walk()):
                    _guard(weights, op)


def has_weights(root: Operation) -> bool:
    """Whether anything inside is marked as a weight."""
    return any(isinstance(op, arith.Weight) for op in root.walk())


def _step(weights: set[Value], op: Operation) -> Sequence[Value]:
    match op:
        case arith.Weight():
            return op.results
        case arith.Product():
            return op.results if op.lhs in weights or op.rhs in weights else ()
        case _:
            return op.results if isinstance(op, _MOVES) and op.operands[0] in weights else ()


def _is_mapped(value: Value) -> bool:
    """Whether it is stacked of what a map yields, rather than one of several values."""
    return isinstance(value.owner, control.Map)


def _guard(weights: set[Value], op: Operation) -> None:
    if isinstance(op, Guarded):
        lhs, rhs = op.lhs_absorbs or op.lhs in weights, op.rhs_absorbs or op.rhs in weights
        new = guard(op, lhs, rhs)
        if new is not None:
            weights.add(new)
