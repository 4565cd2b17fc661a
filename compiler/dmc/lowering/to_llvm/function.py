"""The LLVM function being written: values, addresses and private memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from dmc.ir.declarations import Trait
from dmc.ir.operation import Block, Operation, Value
from dmc.ir.types import Type
from dmc.lowering import llvm_ir as ir
from dmc.lowering.to_llvm.module import ModuleLowering, aligned
from dmc.lowering.to_llvm.types import I8, integer, splat

Table: TypeAlias = "dict[type[Operation], Callable[[FunctionLowering, Operation], None]]"
"""How operations are lowered, by class."""

Offset: TypeAlias = "tuple[ir.Value, ir.Type, ir.Value | None, int]"
"""A base address, the type of its elements, and a multiple of an index, or a number of them."""


class FunctionLowering:
    """The LLVM function being written, and the LLVM value of every loop-level value so far.

    `scratch` is the address of the private memory not yet taken.
    """

    def __init__(self, owner: ModuleLowering, function: ir.Function, table: Table) -> None:
        self.owner = owner
        self.machine = owner.machine
        self.table = table
        self.function = function
        self.entry = function.append_basic_block("entry")
        self.builder = ir.IRBuilder(self.entry)
        self.values: dict[Value, ir.Value] = {}
        self.scratch: ir.Value = integer(0)
        self.is_task = False
        self.stop: ir.Value | None = None
        """The address of the word that says whether the call is to end."""
        self.exit: ir.Block | None = None
        """Where the function is left when it is."""
        self.root: ir.Value | None = None
        """That of its tapes."""
        self.failed: ir.Value | None = None
        """Where a program with tapes says that memory has run out."""
        self._addresses: list[dict[Offset, ir.Value]] = [{}]
        self._counts: dict[Block | None, Counter[tuple[type[Operation], tuple[Type, ...]]]] = {}

    def value(self, value: Value) -> ir.Value:
        """The LLVM value of `value`; constants are made where they are used."""
        found = self.values.get(value)
        if found is None:
            op = value.defining_op
            if op is None or not op.has(Trait.CONSTANT):
                raise KeyError(value)
            number = op.attributes["value"]
            assert isinstance(number, bool | int | float)
            found = self.values[value] = splat(number, value.type)
        return found

    def block(self, block: Block) -> list[ir.Value]:
        """Lower the operations of `block`; what its terminator yields."""
        for op in block:
            if op.has(Trait.TERMINATOR):
                return [self.value(v) for v in op.operands]
            self.operation(op)
        raise ValueError("the block has no terminator")

    def operation(self, op: Operation) -> None:
        if op.has(Trait.CONSTANT):
            return
        lower = self.table.get(type(op))
        if lower is None:
            raise ValueError(f"{op.name} cannot be lowered to LLVM")
        lower(self, op)

    def set(self, op: Operation, *values: ir.Value) -> None:
        """Record the results of `op`."""
        self.values.update(zip(op.results, values, strict=True))

    def repetitions(self, op: Operation) -> int:
        """How many operations there are like `op` in its block, on operands of the same types."""
        block = op.parent
        if block not in self._counts:
            alike = ((type(each), each.operand_types) for each in block or ())
            self._counts[block] = Counter(alike)
        return self._counts[block][type(op), op.operand_types]

    def intrinsic(
        self, name: str, result: ir.Type, operands: Sequence[ir.Value], suffixes: Sequence[str]
    ) -> ir.Value:
        """Call `llvm.<name>.<suffixes>`."""
        full = ".".join(["llvm", name, *suffixes])
        function = self.owner.external(full, result, [operand.type for operand in operands])
        return self.builder.call(function, operands)

    # Addresses

    @contextmanager
    def scope(self) -> Generator[None]:
        """Addresses computed inside are not reused after it."""
        self._addresses.append({})
        try:
            yield
        finally:
            self._addresses.pop()

    def offset(
        self, base: ir.Value, element: ir.Type, index: ir.Value | None, factor: int
    ) -> ir.Value:
        """`&base[factor · index]`, or `&base[factor]`; computed once in a region."""
        if index is None and factor == 0:
            return base
        key = (base, element, index, factor)
        for known in reversed(self._addresses):
            if key in known:
                return known[key]
        if index is None:
            amount: ir.Value = integer(factor)
        else:
            amount = index if factor == 1 else self.builder.mul(index, integer(factor))
        address = self.builder.gep(base, [amount], inbounds=True, source_etype=element)
        self._addresses[-1][key] = address
        return address

    # Private memory

    def take_scratch(self, count: int) -> ir.Value:
        """The address of the next `count` bytes of private memory."""
        taken = self.scratch
        self.scratch = self.builder.gep(
            taken, [integer(aligned(count))], inbounds=True, source_etype=I8
        )
        return taken
