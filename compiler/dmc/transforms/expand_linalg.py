"""Systems of equations become operations that have schedules of their own."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import arith, linalg, tensor
from dmc.ir import Builder, Module, Value, shape_of
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op


@dataclass(frozen=True)
class ExpandLinalg(Pass):
    """Rewrite what solves systems with a factorization, and guards that right sides absorb.

    It comes after all derivatives: theirs are of whole systems.
    """

    name = "expand-linalg"

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            if not isinstance(op, linalg.Solver):
                continue
            builder = Builder.ahead_of(op)
            builder.location = op.location.by(self.name)
            solved = op.expanded(builder)
            if op.absorbs:
                solved = _selected(builder, solved, op.right)
            replace_op(op, [solved])


def _selected(builder: Builder, solved: Value, right: Value) -> Value:
    """Zeros in the columns of which the right side is zero."""
    zero = arith.zeros(builder, right.type)
    counts = arith.compare(builder, arith.Direction.NE, right, zero)
    shape = shape_of(right.type)
    rank = len(shape)
    some = tensor.reduce(builder, counts, tensor.Kind.ANY, [rank - 2])
    dims = (*range(rank - 2), rank - 1)
    return arith.select(builder, tensor.broadcast_in_dim(builder, some, shape, dims), solved, zero)
