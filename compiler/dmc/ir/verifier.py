"""Checks that hold for all IR, and the constraints of every operation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from dmc.ir.declarations import Trait, attribute
from dmc.ir.operation import Block, Operation, Value, VerifyError


def verify(root: Operation) -> None:
    """Check `root` and everything inside it. Raises VerifyError for the first violation.

    Constraints of the IR itself: operands are defined before use in the same or an enclosing
    block; every block but that of a module ends in a terminator, and has no other; operands,
    results, attributes and regions are those declared; uses are recorded both ways; inferred result
    types agree.
    """
    _Verifier().verify_op(root, set())


class _Verifier:
    def __init__(self) -> None:
        self.symbols: Mapping[str, Operation] | None = None
        """Those of the module that is verified; None where it is not all there."""

    def verify_op(self, op: Operation, visible: set[Value]) -> None:
        _verify_declaration(op)
        for index, value in enumerate(op.operands):
            if value not in visible:
                raise VerifyError(op, 0, f"operand {index} ({value}) is not defined before its use")
            if (op, index) not in value.uses:
                raise VerifyError(op, 0, f"operand {index} ({value}) does not know this use")
        if op.has(Trait.LISTS):
            self.symbols = _symbols(op)
        if "sym_name" in op.attributes:  # a function sees nothing of what is around it
            visible = set()
        for region in op.regions:
            if region.parent is not op:
                raise VerifyError(op, 0, "a region belongs to another operation")
            self._verify_block(region.block, visible)
            if not op.has(Trait.LISTS) and not region.block.is_ended:
                raise VerifyError(op, 0, "a block of it does not end in a terminator")
        op.verify_()
        if self.symbols is not None:
            op.verify_symbols(self.symbols)
        op.verify_types()

    def _verify_block(self, block: Block, visible: set[Value]) -> None:
        """Check a block inside which `visible` and what it defines itself may be used."""
        visible.update(block.args)
        for op in block:
            if op.parent is not block:
                raise VerifyError(op, 0, "linked into a block that is not its parent")
            if op.has(Trait.TERMINATOR) and op is not block.last:
                raise VerifyError(op, 0, "a terminator must be last in its block")
            self.verify_op(op, visible)
            visible.update(op.results)
        visible.difference_update(block.args)
        for op in block:
            visible.difference_update(op.results)


def _symbols(op: Operation) -> Mapping[str, Operation]:
    named = ((inner.attributes.get("sym_name"), inner) for inner in op.regions[0].block)
    return {name: inner for name, inner in named if isinstance(name, str)}


@cache
def _needed_attributes(kind: type[Operation]) -> tuple[str, ...]:
    fields = kind.declared_attributes.items()
    return tuple(name for name, field in fields if isinstance(field, attribute))


def _verify_declaration(op: Operation) -> None:
    count = len(op.operands)
    if count < op.operand_count or (count > op.operand_count and not op.is_variadic):
        raise VerifyError(op, 0, f"has {count} operands, declares {op.operand_count}")
    for name in _needed_attributes(type(op)):
        if name not in op.attributes:
            raise VerifyError(op, 0, f"lacks the attribute {name}")
    for name, value in op.attributes.items():
        declared = op.declared_attributes.get(name)
        if declared is None:
            raise VerifyError(op, 0, f"has no attribute {name}")
        if not declared.accepts(value):
            raise VerifyError(op, 0, f"attribute {name} cannot be {value!r}")
    for index, value in enumerate(op.results):
        if value.owner is not op or value.index != index:
            raise VerifyError(op, 0, f"result {index} belongs to another operation")
