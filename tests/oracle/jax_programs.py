"""Whole functions of tensor-level IR in JAX, control flow by Python's own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from dmc.dialects import control, func, tensor
from dmc.dialects.tensor import Kind
from dmc.ir import Block, Module, Operation, Value, shape_of
from tests.oracle.jax_ops import MEANINGS, Meaning
from tests.oracle.peers import jnp, lax


def _first(op: tensor.Reduce, x: Any) -> Any:
    """A maximum or minimum whose derivative goes to the first of equal elements."""
    if op.kind not in (Kind.MAX, Kind.MIN):
        return MEANINGS["tensor.reduce"](op, x)
    x = x.transpose(*op.kept, *op.dimensions).reshape(*(x.shape[d] for d in op.kept), -1)
    at = (jnp.argmax if op.kind is Kind.MAX else jnp.argmin)(x, -1)
    return jnp.take_along_axis(x, at[..., None], -1)[..., 0]


TIES: dict[str, Meaning] = {
    "arith.maximum": lambda _, x, y: jnp.where(x >= y, x, y),
    "arith.minimum": lambda _, x, y: jnp.where(x <= y, x, y),
    "arith.abs": lambda _, x: x * lax.stop_gradient(jnp.sign(x)),
    "tensor.reduce": _first,
}
"""Meanings with our derivatives where JAX has others by convention (see test_ops.py)."""


class Evaluator:
    """Runs blocks whose values are JAX arrays, possibly traced for a derivative."""

    def __init__(self) -> None:
        self.values: dict[Value, Any] = {}
        self.meanings = MEANINGS | TIES

    def call(self, module: Module, name: str, arguments: Sequence[Any]) -> list[Any]:
        return self.block(func.lookup(module, name).body, arguments)

    def block(self, block: Block, arguments: Sequence[Any]) -> list[Any]:
        """What the terminator of the block takes."""
        self.values.update(zip(block.args, arguments, strict=True))
        *ops, last = block
        for op in ops:
            operands = [self.values[value] for value in op.operands]
            self.values.update(zip(op.results, self.operation(op, operands), strict=True))
        return [self.values[value] for value in last.operands]

    def operation(self, op: Operation, operands: Sequence[Any]) -> Sequence[Any]:
        match op:
            case control.If():
                return self.block(op.on_true if bool(operands[0]) else op.on_false, ())
            case control.For():
                return self.loop(op, operands)
            case control.Map():
                sums, elements = list(operands), list[Sequence[Any]]()
                for point in itertools.product(*map(range, op.sizes)):
                    out = self.block(op.body, [*(jnp.int64(i) for i in point), *sums])
                    sums = out[: len(sums)]
                    elements.append(out[len(sums) :])
                parts = [jnp.stack(part) for part in zip(*elements, strict=True)]
                return [*sums, *(part.reshape(*op.sizes, *part.shape[1:]) for part in parts)]
            case _:
                out = self.meanings[op.name](op, *operands)
                return out if isinstance(out, tuple) else (out,)

    def loop(self, op: control.For, operands: Sequence[Any]) -> list[Any]:
        count = int(operands[0])
        carried = list(operands[1 : 1 + op.carried])
        scanned = operands[1 + op.carried :]
        stacks: list[list[Any]] = [[None] * count for _ in op.stacks]
        for i in reversed(range(count)) if op.reverse else range(count):
            out = self.block(op.body, [jnp.int64(i), *carried, *(xs[i] for xs in scanned)])
            carried = out[: op.carried]
            for stack, element in zip(stacks, out[op.carried :], strict=True):
                stack[i] = element
        shapes = [shape_of(value.type) for value in op.stacks]
        filled = [
            jnp.stack(stack) if stack else jnp.zeros(shape)
            for stack, shape in zip(stacks, shapes, strict=True)
        ]
        return [*carried, *filled]
