"""What a class of operations declares besides operands, results and regions."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, Self, TypeVar, cast, overload

from dmc.ir.attributes import Attribute

AttrT = TypeVar("AttrT")
OwnerT = TypeVar("OwnerT")
PartT = TypeVar("PartT")


class Trait(enum.Enum):
    """Facts about every operation of a class that passes may rely on."""

    TERMINATOR = "ends its block"
    LISTS = "lists operations: its block ends without a terminator"
    ELEMENTWISE = "same shape for all operands and results; one element depends on one element"
    COMMUTATIVE = "the operands may be swapped"
    CONSTANT = "its result is the attribute `value`"
    EFFECT = "writes memory: neither removed when unused nor merged nor moved"
    READS_MEMORY = "its result depends on memory: not merged or moved across writes"
    INTEGER_VALUED = "its results carry no derivative"

    __hash__ = object.__hash__
    """Members are compared by identity; the hash that enums have by themselves is slow."""


class declared(Generic[OwnerT, PartT]):
    """Declares a part of a class of operations, the one at `index` of its kind."""

    def __init__(self) -> None:
        self.index = -1

    def of(self, op: OwnerT) -> PartT:
        """The part of an operation."""
        raise TypeError("a kind of part says where it is")

    @overload
    def __get__(self, op: None, owner: type[OwnerT]) -> Self: ...
    @overload
    def __get__(self, op: OwnerT, owner: type[OwnerT]) -> PartT: ...
    def __get__(self, op: OwnerT | None, owner: type[OwnerT]) -> PartT | Self:
        return self if op is None else self.of(op)


class HasAttributes(Protocol):
    """What holds attributes by name: an operation."""

    attributes: dict[str, Attribute]


def _is(kind: type[object], value: Attribute) -> bool:
    """Whether `value` is of a kind; a truth value is no number."""
    return isinstance(value, kind) and (isinstance(value, bool) == (kind is bool) or kind is object)


class attribute(Generic[AttrT]):
    """Declares an attribute: `axis = attribute(int)`; an enum is stored as its string value.

    With a default the attribute may be left out where the operation is created.
    """

    def __init__(self, kind: type[AttrT], default: Attribute | None = None) -> None:
        self.kind = kind
        self.default = default
        self.name = ""
        self._members: Callable[[Attribute], AttrT] | None = None
        if isinstance(kind, enum.EnumType):
            self._members = cast("Callable[[Attribute], AttrT]", kind)

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.name = name

    def accepts(self, value: Attribute) -> bool:
        """Whether `value` may be stored: it is of the declared kind, or the value of a member."""
        if isinstance(self.kind, enum.EnumType):
            members = cast("Iterable[enum.Enum]", self.kind)
            return any(value == member.value for member in members)
        return _is(self.kind, value)

    @overload
    def __get__(self, op: None, owner: type[object]) -> attribute[AttrT]: ...
    @overload
    def __get__(self, op: HasAttributes, owner: type[object]) -> AttrT: ...
    def __get__(self, op: HasAttributes | None, owner: type[object]) -> AttrT | attribute[AttrT]:
        if op is None:
            return self
        value = op.attributes[self.name]
        return cast(AttrT, value) if self._members is None else self._members(value)


class optional(Generic[AttrT]):
    """Declares an attribute that need not be there: `visibility = optional(str)`; else it is None.

    Transformations note in such attributes what they have found out or decided.
    """

    default = None

    def __init__(self, kind: type[AttrT]) -> None:
        self.kind = kind
        self.name = ""

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.name = name

    def accepts(self, value: Attribute) -> bool:
        """Whether `value` may be stored."""
        return _is(self.kind, value)

    @overload
    def __get__(self, op: None, owner: type[object]) -> optional[AttrT]: ...
    @overload
    def __get__(self, op: HasAttributes, owner: type[object]) -> AttrT | None: ...
    def __get__(
        self, op: HasAttributes | None, owner: type[object]
    ) -> AttrT | optional[AttrT] | None:
        return self if op is None else cast("AttrT | None", op.attributes.get(self.name))


def int_tuple(default: tuple[int, ...] | None = None) -> attribute[tuple[int, ...]]:
    """Declares an attribute that is a tuple of integers, such as axes or sizes."""
    kind = cast("type[tuple[int, ...]]", tuple)
    return attribute(kind, default)
