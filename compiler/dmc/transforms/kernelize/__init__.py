"""From the tensor level to the kernel level: every operation becomes a kernel of its own.

But for elementwise ones that only feed one another (see `dmc.transforms.trees`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import arith, autodiff, kernel
from dmc.dialects.elementwise import splat_of
from dmc.ir import AffineMap, Builder, Module, Operation, Value, dtype_of, shape_of
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.generics import is_tensor, make_generic
from dmc.transforms.kernelize.movement import MOVEMENT, Rule
from dmc.transforms.kernelize.reductions import REDUCTIONS
from dmc.transforms.trees import Trees, is_elementwise


@dataclass(frozen=True)
class Kernelize(Pass):
    """Rewrite each operation of the tensor level as a kernel.

    Arithmetic on 0-d tensors stays, and so does control flow, whose regions are rewritten.
    Constants of equal elements become scalars in the kernels that read them.
    """

    name = "kernelize"

    def run(self, module: Module) -> None:
        constants: list[arith.Constant] = []
        trees = Trees(self.name)
        for op in list(module.walk()):
            if isinstance(op, arith.Constant):
                constants.append(op)
                continue
            if isinstance(op.parent_op, kernel.Structured):
                continue
            rule = RULES.get(type(op))
            if rule is None:
                if is_elementwise(op):
                    trees.add(op)
                continue
            builder = Builder.ahead_of(op)
            builder.location = op.location.by(self.name)
            values = rule(builder, op)
            if values is not None:
                replace_op(op, values)
        for op in constants:
            _settle(op)


def _settle(op: arith.Constant) -> None:
    """Fill a buffer for a repeated constant that is used whole; drop an unused one."""
    splat = splat_of(op.result)
    if op.result.uses and is_tensor(op.result) and splat is not None:
        shape, dtype = shape_of(op.result.type), dtype_of(op.result.type)
        builder = Builder.ahead_of(op)
        fill = make_generic(
            builder,
            shape,
            [],
            lambda b, _: [arith.scalar(b, splat, dtype)],
            [AffineMap.identity(len(shape))],
        )
        op.result.replace_all_uses_with(fill.results[0])
    if not op.result.uses:
        op.erase()


def _stop_gradient(builder: Builder, op: Operation) -> Sequence[Value] | None:
    return op.operands


RULES: dict[type[Operation], Rule] = {
    **MOVEMENT,
    **REDUCTIONS,
    autodiff.StopGradient: _stop_gradient,
}
