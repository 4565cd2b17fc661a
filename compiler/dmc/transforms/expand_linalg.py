"""What is composed of factorizations and products becomes these."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import linalg
from dmc.ir import Builder, Module
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op


@dataclass(frozen=True)
class ExpandLinalg(Pass):
    """Rewrite general systems, exponentials, and what right sides absorb.

    It comes after all derivatives: theirs are of systems and exponentials.
    """

    name = "expand-linalg"

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            if not isinstance(op, linalg.Composed):
                continue
            builder = Builder.ahead_of(op)
            builder.location = op.location.by(self.name)
            value = op.expanded(builder)
            if value is not None:
                replace_op(op, [value])
