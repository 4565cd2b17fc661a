"""Checks that hold for all IR, and the constraints of every operation."""

from __future__ import annotations

from dmc.ir.declarations import Trait
from dmc.ir.operation import Block, Operation, Value, VerifyError


def verify(root: Operation) -> None:
    """Check `root` and everything inside it. Raises VerifyError for the first violation.

    Constraints of the IR itself: operands are defined before use in the same or an enclosing
    block; a terminator is last and nowhere else; operands, results, attributes and regions are
    those declared; uses are recorded both ways; inferred result types agree.
    """
    _verify_op(root, set())


def _verify_op(op: Operation, visible: set[Value]) -> None:
    _verify_declaration(op)
    for index, value in enumerate(op.operands):
        if value not in visible:
            raise VerifyError(op, 0, f"operand {index} ({value}) is not defined before its use")
        if (op, index) not in value.uses:
            raise VerifyError(op, 0, f"operand {index} ({value}) does not know this use")
    for region in op.regions:
        if region.parent is not op:
            raise VerifyError(op, 0, "a region belongs to another operation")
        _verify_block(region.block, visible)
    op.verify_()


def _verify_block(block: Block, visible: set[Value]) -> None:
    """Check a block inside which `visible` and what it defines itself may be used."""
    visible.update(block.args)
    for op in block:
        if op.parent is not block:
            raise VerifyError(op, 0, "linked into a block that is not its parent")
        if op.has(Trait.TERMINATOR) and op is not block.last:
            raise VerifyError(op, 0, "a terminator must be last in its block")
        _verify_op(op, visible)
        visible.update(op.results)
    visible.difference_update(block.args)
    for op in block:
        visible.difference_update(op.results)


def _verify_declaration(op: Operation) -> None:
    count = len(op.operands)
    if count < op.operand_count or (count > op.operand_count and not op.is_variadic):
        raise VerifyError(op, 0, f"has {count} operands, declares {op.operand_count}")
    for name, field in op.declared_attributes.items():
        if name not in op.attributes:
            raise VerifyError(op, 0, f"lacks the attribute {name}")
        if not field.accepts(op.attributes[name]):
            raise VerifyError(op, 0, f"attribute {name} cannot be {op.attributes[name]!r}")
    for index, value in enumerate(op.results):
        if value.owner is not op or value.index != index:
            raise VerifyError(op, 0, f"result {index} belongs to another operation")
