"""What several passes ask about the IR."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dmc.dialects import arith, func, kernel, tensor
from dmc.dialects.flow import ControlFlow
from dmc.ir import Attribute, Block, Builder, DenseElements, Operation, Value
from dmc.ir.module import Module as ModuleOp


def is_isolated(op: Operation) -> bool:
    """Whether the regions of `op` may not use values from around it.

    Bodies of kernels may, but only tensors to load from, so nothing else may be moved across.
    """
    return isinstance(op, func.Func | kernel.Structured | ModuleOp) or op.name == "loop.func"


def materialize(builder: Builder, made: Value | Attribute, like: Value) -> Value:
    """A value as it is, a constant attribute as `arith.constant` of the type of `like`."""
    if isinstance(made, Value):
        return made
    attributes: dict[str, Attribute] = {"value": made}
    constant = arith.Constant([], attributes, result_types=[like.type])
    return builder.insert(constant).result


def constant_scalar(value: Value) -> float | int | bool | None:
    """The number that a 0-d value is known to be, or None."""
    op = value.defining_op
    data = op.attributes["value"] if isinstance(op, arith.Constant) else None
    return data.splat_value if isinstance(data, DenseElements) else None


def inline_block(block: Block, arguments: Sequence[Value], builder: Builder) -> list[Value]:
    """Move the operations of `block` to the builder; the block is left without any.

    Returns what its terminator passed on. The terminator is erased.
    """
    for arg, value in zip(block.args, arguments, strict=True):
        arg.replace_all_uses_with(value)
    terminator = block.terminator
    passed = list(terminator.operands)
    terminator.erase()
    for op in block:
        op.detach()
        builder.insert(op)
    return passed


def take_regions(op: Operation) -> None:
    """Leave `op` without regions, because another operation has taken them over."""
    op.regions = ()


def is_loop(op: Operation) -> bool:
    """Whether the regions of `op` may run many times."""
    return isinstance(op, ControlFlow) and op.is_loop


def is_inside(value: Value, op: Operation) -> bool:
    """Whether `value` is defined in a region of `op`, at any depth."""
    block = value.parent_block
    while block is not None and block.parent_op is not None:
        if block.parent_op is op:
            return True
        block = block.parent_op.parent
    return False


def blocks(root: Operation) -> Iterator[Block]:
    """Every block inside `root`, outer before inner."""
    for op in root.walk():
        for inner in op.regions:
            yield inner.block


def code(function: func.Func) -> Iterator[Operation]:
    """A function and its operations, outer before inner, in order; none of a kernel's body."""
    pending: list[Operation] = [function]
    while pending:
        op = pending.pop()
        yield op
        if not isinstance(op, kernel.Structured):
            for inner in reversed(op.regions):
                pending += reversed(inner.block.listed())


def code_blocks(function: func.Func) -> list[Block]:
    """The blocks of a function and of control flow in it, outer before inner; no kernel's body."""
    return [
        inner.block
        for op in code(function)
        if not isinstance(op, kernel.Structured)
        for inner in op.regions
    ]


_COMBINE: dict[tensor.Kind, Callable[[Builder, Value, Value], Value]] = {
    tensor.Kind.SUM: arith.add,
    tensor.Kind.PROD: arith.multiply,
    tensor.Kind.MAX: arith.maximum,
    tensor.Kind.MIN: arith.minimum,
    tensor.Kind.ANY: arith.logical_or,
    tensor.Kind.ALL: arith.logical_and,
}


def combined(builder: Builder, kind: tensor.Kind, values: Sequence[Value]) -> Value:
    """The reduction of a few values, in order."""
    total, *rest = values
    for value in rest:
        total = _COMBINE[kind](builder, total, value)
    return total
