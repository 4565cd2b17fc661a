"""SSA values, operations, blocks and regions; what builds and what runs them.

The structure is MLIR's (https://mlir.llvm.org/docs/LangRef/), with one simplification: control
flow is structured, so a region is exactly one block.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar, cast

import numpy as np

from dmc.ir.attributes import ArrayAttr, Attribute, SymbolRef
from dmc.ir.cost import Cost
from dmc.ir.declarations import Trait, attribute, declared, optional
from dmc.ir.edits import Attributes, edit
from dmc.ir.errors import InterpreterError, RuleMissing, VerifyError
from dmc.ir.halves import rounded, widened
from dmc.ir.linked import Linked
from dmc.ir.location import UNKNOWN, Location
from dmc.ir.types import Array, ShapedType, Type, conforms, dtype_of

OpT = TypeVar("OpT", bound="Operation")


class Value:
    """The result of an operation or an argument of a block.

    `name` is the name in the source (`h`, `h_bar`), used only for printing; it may be empty.
    """

    __slots__ = ("index", "name", "owner", "type", "uses")

    def __init__(self, owner: Operation | Block, index: int, type_: Type, name: str = "") -> None:
        self.owner = owner
        self.index = index
        self.type = type_
        self.name = name
        self.uses: dict[tuple[Operation, int], None] = {}

    @property
    def defining_op(self) -> Operation | None:
        """The operation this is a result of; None for a block argument."""
        owner = self.owner
        return owner if isinstance(owner, Operation) else None

    @property
    def parent_block(self) -> Block | None:
        """The block in which the value is defined."""
        owner = self.owner
        return owner if isinstance(owner, Block) else owner.parent

    @property
    def users(self) -> list[Operation]:
        """The operations that use the value, each once, in order of first use."""
        return list({op: None for op, _ in self.uses})

    def replace_all_uses_with(self, other: Value) -> None:
        """Make every user read `other`; an unnamed `other` takes over the name."""
        if other is self:
            return
        if not other.name:
            other.name = self.name
        for op, index in list(self.uses):
            op.set_operand(index, other)

    def __repr__(self) -> str:
        return f"<%{self.name or '?'}: {self.type}>"


def bytes_of(value: Value) -> int:
    """What a value takes in memory; 0 for what is no array."""
    return value.type.bytes if isinstance(value.type, ShapedType) else 0


class operand(declared["Operation", Value]):
    """Declares the next operand of an operation class; reads as a `Value`."""

    def of(self, op: Operation) -> Value:
        return op.operands[self.index]


class operands(declared["Operation", tuple[Value, ...]]):
    """Declares that all operands from here on form one variadic group; must come last."""

    def of(self, op: Operation) -> tuple[Value, ...]:
        return op.operands[self.index :]


class result(declared["Operation", Value]):
    """Declares the next result of an operation class; reads as a `Value`."""

    def of(self, op: Operation) -> Value:
        return op.results[self.index]


class region(declared["Operation", "Block"]):
    """Declares the next region of an operation class; reads as its `Block`."""

    def of(self, op: Operation) -> Block:
        return op.regions[self.index].block


class Operation:
    """One operation. Subclasses declare operands, results, attributes, regions and rules.

    A subclass is registered under its `name` (`dialect.op`) when it is defined. All that is true
    of an operation is a method of its class: `infer`, `verify_`, `evaluate`, `fold`,
    `canonicalize`, `tangent`, `adjoint`, `batch`, `cost`.
    """

    name: ClassVar[str] = ""
    traits: ClassVar[frozenset[Trait]] = frozenset()
    registry: ClassVar[dict[str, type[Operation]]] = {}
    operand_count: ClassVar[int] = 0
    is_variadic: ClassVar[bool] = False
    declared_attributes: ClassVar[dict[str, attribute[object] | optional[object]]] = {}
    _defaults: ClassVar[dict[str, Attribute]] = {}
    computes: ClassVar[bool] = False
    """Rather than moving numbers it computes: with f16 and bf16 in f32, rounding each result."""
    places = optional(ArrayAttr)
    """Where the results lie in memory, once that is planned."""
    rounded = optional(str)
    """Whether it "writes" in fewer bits what waits in memory, or "reads" that."""
    _may_go: ClassVar[bool] = True
    """Neither with an effect nor a terminator."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        counts = {operand: 0, result: 0, region: 0}
        attributes: dict[str, attribute[object] | optional[object]] = {}
        cls.is_variadic = False
        for klass in reversed(cls.__mro__):
            for key, field in vars(klass).items():
                match field:
                    case operand() | result() | region():
                        field.index = counts[type(field)]
                        counts[type(field)] += 1
                    case operands():
                        field.index = counts[operand]
                        cls.is_variadic = True
                    case attribute() | optional():
                        attributes[key] = cast("attribute[object] | optional[object]", field)
                    case _:
                        if key in attributes:
                            raise TypeError(f"{cls.name}: `{key}` is an attribute already")
        cls.operand_count = counts[operand]
        cls.declared_attributes = attributes
        cls._defaults = {k: f.default for k, f in attributes.items() if f.default is not None}
        cls._may_go = cls.traits.isdisjoint((Trait.EFFECT, Trait.TERMINATOR))
        if cls.name and Operation.registry.setdefault(cls.name, cls) is not cls:
            raise ValueError(f"operation {cls.name} is defined twice")

    def __init__(
        self,
        operands: Sequence[Value] = (),
        attributes: Mapping[str, Attribute] | None = None,
        regions: Sequence[Region] = (),
        result_types: Sequence[Type] | None = None,
        location: Location = UNKNOWN,
        names: Sequence[str] = (),
    ) -> None:
        """Make a detached operation. Result types are inferred when not given.

        Raises VerifyError when `infer` finds the operands or attributes impossible.
        """
        self.operands: tuple[Value, ...] = tuple(operands)
        """Changed by the methods below only, which keep the uses of the values."""
        if isinstance(attributes, Attributes):  # those of another operation
            self.attributes: dict[str, Attribute] = Attributes(attributes)
        else:
            self.attributes = Attributes(self._defaults)
            if attributes:
                self.attributes.update(
                    [
                        (key, value.value if isinstance(value, enum.Enum) else value)
                        for key, value in attributes.items()
                    ]
                )
        self.location = location
        self.parent: Block | None = None
        self.previous: Operation | None = None
        self.next: Operation | None = None
        self.ordinal = 0
        self.regions: tuple[Region, ...] = tuple(regions)
        for inner in self.regions:
            inner.parent = self
        self.results: tuple[Value, ...] = ()
        self._use_operands()
        types = self.infer() if result_types is None else result_types
        self.results = tuple([Value(self, i, type_) for i, type_ in enumerate(types)])
        for value, hint in zip(self.results, names, strict=False):
            value.name = hint

    # Structure

    @property
    def operand_types(self) -> tuple[Type, ...]:
        return tuple([value.type for value in self.operands])

    @property
    def result_types(self) -> tuple[Type, ...]:
        return tuple([value.type for value in self.results])

    def set_operand(self, index: int, value: Value) -> None:
        edit()
        values = self.operands
        values[index].uses.pop((self, index), None)
        self.operands = (*values[:index], value, *values[index + 1 :])
        value.uses[self, index] = None

    def set_operands(self, values: Sequence[Value]) -> None:
        """Replace the whole operand list, which may change its length."""
        self.drop_operands()
        self.operands = tuple(values)
        self._use_operands()

    def insert_operand(self, index: int, value: Value) -> None:
        """Add an operand in front of the one at `index`."""
        self.set_operands([*self.operands[:index], value, *self.operands[index:]])

    def insert_result(self, index: int, type_: Type, name: str = "") -> Value:
        """Add a result in front of the one at `index`."""
        edit()
        made = Value(self, index, type_, name)
        self.results = (*self.results[:index], made, *self.results[index:])
        for i, value in enumerate(self.results):
            value.index = i
        return made

    def drop_operands(self) -> None:
        edit()
        for index, value in enumerate(self.operands):
            value.uses.pop((self, index), None)
        self.operands = ()

    def _use_operands(self) -> None:
        for index, value in enumerate(self.operands):
            value.uses[self, index] = None

    @property
    def parent_op(self) -> Operation | None:
        """The operation whose region holds this one."""
        return self.parent.parent_op if self.parent is not None else None

    def has(self, trait: Trait) -> bool:
        return trait in self.traits

    @property
    def is_pure(self) -> bool:
        """No effect here or in any region: may be removed when unused and merged when equal."""
        if not self._may_go or not self.regions:
            return self._may_go
        return all(
            op.is_pure or op.has(Trait.TERMINATOR) for inner in self.regions for op in inner.block
        )

    def walk(self) -> Iterator[Operation]:
        """This operation and all inside it, outer before inner, in order."""
        pending: list[Operation] = [self]
        while pending:
            op = pending.pop()
            yield op
            for inner in reversed(op.regions):
                pending += reversed(inner.block.listed())

    def is_before(self, other: Operation) -> bool:
        """Whether this comes before `other` in the same block."""
        block = self.parent
        return (
            block is not None and block is other.parent and block.place(self) < block.place(other)
        )

    def reads(self) -> list[Value]:
        """The values from outside that this and everything inside it use."""
        return [*self.operands, *(value for inner in self.regions for value in inner.captures())]

    def detach(self) -> None:
        """Take the operation out of its block, keeping it and its uses."""
        if self.parent is not None:
            self.parent.unlink(self)

    def erase(self) -> None:
        """Remove the operation for good. Raises ValueError while a result is still used."""
        for value in self.results:
            if value.uses:
                raise ValueError(f"cannot erase {self.name}: {value} is used by {value.users}")
        for inner in self.regions:
            inner.block.drop_all()
        self.detach()
        self.drop_operands()
        self._forget()

    def _forget(self) -> None:
        """Let go of what refers back to this, so that all is freed without a search for cycles."""
        self.results = ()
        self.regions = ()

    def clone(self, mapping: dict[Value, Value], location: Location | None = None) -> Operation:
        """A detached deep copy whose operands are looked up in `mapping`.

        Operands not in `mapping` are kept. Results and inner values are added to `mapping`.
        """
        copies = [inner.clone(mapping, location) for inner in self.regions] if self.regions else ()
        new = type(self)(
            [mapping.get(value, value) for value in self.operands],
            self.attributes,
            copies,
            [value.type for value in self.results],
            location or self.location,
        )
        for value, copy in zip(self.results, new.results, strict=True):
            copy.name = value.name
            mapping[value] = copy
        return new

    # Rules: what is true of the operation, given by each class

    def infer(self) -> Sequence[Type]:
        """Result types from operands, attributes and regions. Raises VerifyError if impossible."""
        raise VerifyError(self, 0, "result types cannot be inferred and must be given")

    def verify_(self) -> None:
        """Check the numbered constraints of the class with `require`."""

    def verify_types(self) -> None:
        """Check that the result types are those that follow from all else, where they do."""
        follows = type(self).infer is not Operation.infer
        if follows and (types := tuple(self.infer())) != self.result_types:
            raise VerifyError(self, 0, f"the results are {', '.join(map(str, types)) or 'none'}")

    def verify_symbols(self, symbols: Mapping[str, Operation]) -> None:
        """Check what the operation says of those of the module, by their names."""

    def require(self, number: int, condition: bool, message: str, *parts: object) -> None:
        """Constraint `number` of this class. Raises VerifyError when `condition` is false.

        `parts` replace the `{}` of the message.
        """
        if not condition:
            raise VerifyError(self, number, message.format(*parts) if parts else message)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        """Reference semantics on NumPy arrays (a memref is a writable view)."""
        raise RuleMissing(self, "reference semantics")

    def compute(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        """What `evaluate` gives, in f32 where operands are f16 or bf16 and it `computes`."""
        if not self.computes:
            return self.evaluate(operands, interpreter)
        halves = [dtype_of(value.type).is_half for value in self.results]
        outputs = self.evaluate([widened(array) for array in operands], interpreter)
        return [
            rounded(np.asarray(output), dtype_of(value.type)) if half else output
            for output, value, half in zip(outputs, self.results, halves, strict=True)
        ]

    def fold(self) -> Sequence[Value | Attribute] | None:
        """Existing values or constants equal to the results, or None."""
        return None

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        """Simpler operations built before this one whose results replace its results, or None."""
        return None

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        """Tangents of the results from those of the operands; None is an exact zero."""
        raise RuleMissing(self, "tangent")

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        """Cotangents for the operands from those of the results; None is an exact zero."""
        raise RuleMissing(self, "adjoint")

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        """The operation over map axes that lead its operands (see `Batched`)."""
        raise RuleMissing(self, "batch")

    def cost(self) -> Cost:
        """Work of one execution, with that of regions."""
        raise RuleMissing(self, "cost")

    def __repr__(self) -> str:
        return f"<{self.name} at {self.location.span}>"


class Block(Linked["Operation"]):
    """Arguments, then operations ending in a terminator. `size` counts none in their regions."""

    def __init__(self, arg_types: Sequence[Type] = (), names: Sequence[str] = ()) -> None:
        super().__init__()
        self.args: list[Value] = [Value(self, i, type_) for i, type_ in enumerate(arg_types)]
        for value, hint in zip(self.args, names, strict=False):
            value.name = hint
        self.parent: Region | None = None

    @property
    def parent_op(self) -> Operation | None:
        return self.parent.parent if self.parent is not None else None

    @property
    def terminator(self) -> Operation:
        """The last operation. Raises ValueError when the block does not end in a terminator."""
        if self.last is None or not self.is_ended:
            raise ValueError("the block has no terminator")
        return self.last

    @property
    def is_ended(self) -> bool:
        """Whether it ends in a terminator."""
        return self.last is not None and self.last.has(Trait.TERMINATOR)

    def add_arg(self, type_: Type, name: str = "") -> Value:
        edit()
        value = Value(self, len(self.args), type_, name)
        self.args.append(value)
        return value

    def arrange_args(self, args: Sequence[Value]) -> None:
        """Put all arguments in another order."""
        if len(args) != len(self.args) or set(args) != set(self.args):
            raise ValueError("not the arguments of the block")
        edit()
        self.args = list(args)
        for i, value in enumerate(self.args):
            value.index = i

    def erase_arg(self, index: int) -> None:
        """Remove an unused argument. Raises ValueError when it is used."""
        if self.args[index].uses:
            raise ValueError(f"block argument {index} is used")
        edit()
        del self.args[index]
        for i, value in enumerate(self.args):
            value.index = i

    def insert(self, op: Operation, before: Operation | None = None) -> None:
        """Link a detached operation in front of `before`, or at the end."""
        if op.parent is not None:
            raise ValueError(f"{op.name} is already in a block")
        edit()
        op.parent = self
        self.link(op, before)

    def unlink(self, node: Operation) -> None:
        edit()
        super().unlink(node)
        node.parent = None

    def drop_all(self) -> None:
        """Erase every operation, last first."""
        for op in reversed(self):
            for inner in op.regions:
                inner.block.drop_all()
            op.detach()
            op.drop_operands()


class Region:
    """One block that belongs to an operation; it may use values defined around it."""

    def __init__(self, block: Block) -> None:
        self.block = block
        block.parent = self
        self.parent: Operation | None = None

    def clone(self, mapping: dict[Value, Value], location: Location | None = None) -> Region:
        new = Block([arg.type for arg in self.block.args], [arg.name for arg in self.block.args])
        mapping.update(zip(self.block.args, new.args, strict=True))
        for op in self.block:
            new.insert(op.clone(mapping, location))
        return Region(new)

    def captures(self) -> list[Value]:
        """Values used inside but defined outside, each once, in order of first use."""
        found: dict[Value, None] = {}
        inside: set[Block] = set()

        def visit(block: Block) -> None:
            inside.add(block)
            for op in block:
                for value in op.operands:
                    owner = value.owner
                    if (owner if isinstance(owner, Block) else owner.parent) not in inside:
                        found.setdefault(value)
                for inner in op.regions:
                    visit(inner.block)

        visit(self.block)
        return list(found)


class Builder:
    """Inserts operations before `before` (at the end of `block` when it is None).

    An operation without a location gets the builder's, and the code in its regions its own.
    """

    def __init__(
        self, block: Block, before: Operation | None = None, location: Location = UNKNOWN
    ) -> None:
        self.block = block
        self.before = before
        self.location = location

    @staticmethod
    def ahead_of(op: Operation) -> Builder:
        """Inserts in front of `op`, at its location. Raises ValueError if `op` is detached."""
        if op.parent is None:
            raise ValueError(f"{op.name} is in no block")
        return Builder(op.parent, op, op.location)

    def insert(self, op: OpT) -> OpT:
        if op.location is UNKNOWN:
            op.location = self.location
        if op.regions:
            for inner in op.walk():
                if inner.location is UNKNOWN:
                    inner.location = op.location
        self.block.insert(op, self.before)
        return op

    @contextmanager
    def at(self, location: Location) -> Generator[None]:
        """Use `location` for what is built inside the `with` block."""
        outer, self.location = self.location, location
        try:
            yield
        finally:
            self.location = outer


@dataclass(frozen=True, slots=True)
class Batched:
    """A value inside a `control.map`, made whole outside it.

    `axes` are the map axes the value depends on, ascending; they lead the shape of `value`, in
    that order. A value with no axes is the same at every point (and so was hoisted).
    """

    value: Value
    axes: tuple[int, ...] = ()


class SymbolTable(Protocol):
    """Where functions are looked up by name: the module."""

    def lookup(self, symbol: str | SymbolRef) -> Operation:
        """Raises KeyError when there is no such operation."""
        ...


class Interpreter:
    """The reference interpreter: slow, obviously right, the same for every level of IR.

    Each operation says in `evaluate` what it computes on NumPy arrays; here is only the walk.
    Scalars are 0-d arrays, memrefs are writable views. `module` may be None when no calls are run.
    """

    def __init__(self, module: SymbolTable | None = None) -> None:
        self.module = module
        self.values: dict[Value, Array] = {}

    def call(self, symbol: str, arguments: Sequence[Array]) -> list[Array]:
        """Run the function named `symbol`. Raises KeyError when the module lacks it."""
        if self.module is None:
            raise KeyError(symbol)
        function = self.module.lookup(symbol)
        frame, self.values = self.values, {}
        try:
            return self.run_block(function.regions[0].block, arguments)
        finally:
            self.values = frame

    def run_block(self, block: Block, arguments: Sequence[Array]) -> list[Array]:
        """Run `block`; the operands of its terminator are the result."""
        for arg, array in zip(block.args, arguments, strict=True):
            self.values[arg] = np.asarray(array)
        terminator = block.terminator
        for op in block:
            if op is terminator:
                break
            self.run(op)
        return [self.values[value] for value in terminator.operands]

    def run(self, op: Operation) -> None:
        """Run one operation whose operands have values. Raises InterpreterError on a wrong type."""
        with np.errstate(all="ignore"):
            outputs = op.compute([self.values[value] for value in op.operands], self)
        for value, output in zip(op.results, outputs, strict=True):
            array = np.asarray(output)
            if not conforms(array, value.type):
                given = f"{array.dtype}{list(array.shape)}"
                raise InterpreterError(f"{op.name} gave {given} for {value.type}")
            self.values[value] = array
