"""Every rule that holds for all IR, each with IR that breaks it."""

from __future__ import annotations

import enum
from collections.abc import Callable

import pytest

from dmc.ir import (
    Attribute,
    Block,
    DType,
    Module,
    Operation,
    Region,
    ScalarType,
    Trait,
    Type,
    VerifyError,
    attribute,
    operand,
    region,
    verify,
)
from tests.ir.modules import Anything

F32 = ScalarType(DType.F32)


class Direction(enum.Enum):
    """A choice."""

    UP = "up"


class Declared(Operation):
    """Declares one of everything. C1: `axis` is not negative."""

    name = "test.declared"
    input = operand()
    body = region()
    axis = attribute(int)
    direction = attribute(Direction, default="up")

    def infer(self) -> list[Type]:
        return []

    def verify_(self) -> None:
        self.require(1, self.axis >= 0, "the axis is negative")


class End(Operation):
    """A terminator."""

    name = "test.end"
    traits = frozenset({Trait.TERMINATOR})

    def infer(self) -> list[Type]:
        return []


def sample() -> tuple[Module, Operation, Declared]:
    """A module of a source and an operation that uses it and has a region."""
    source = Anything([], {}, [], [F32])
    inner = Block()
    inner.insert(End())
    user = Declared([source.results[0]], {"axis": 0}, [Region(inner)])
    module = Module.empty()
    module.append(source)
    module.append(user)
    return module, source, user


def test_the_sample_is_right() -> None:
    verify(sample()[0])


def move_before_its_operand(source: Operation, user: Declared) -> None:
    source.detach()
    assert user.parent is not None
    user.parent.insert(source)


def use_a_value_of_another_region(source: Operation, user: Declared) -> None:
    inside = Anything([], {}, [], [F32])
    user.body.insert(inside, user.body.first)
    user.set_operand(0, inside.results[0])


def forget_a_use(source: Operation, user: Declared) -> None:
    source.results[0].uses.clear()


def add_an_operand(source: Operation, user: Declared) -> None:
    user.set_operands([source.results[0]] * 2)


def drop_an_operand(source: Operation, user: Declared) -> None:
    user.set_operands([])


def drop_an_attribute(source: Operation, user: Declared) -> None:
    del user.attributes["axis"]


def take_over_a_region(source: Operation, user: Declared) -> None:
    user.regions[0].parent = source


def put_something_behind_a_terminator(source: Operation, user: Declared) -> None:
    user.body.insert(Anything([], {}, [], []))


def link_into_two_blocks(source: Operation, user: Declared) -> None:
    source.parent = user.body


def swap_results(source: Operation, user: Declared) -> None:
    source.results[0].index = 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (move_before_its_operand, "not defined before its use"),
        (use_a_value_of_another_region, "not defined before its use"),
        (forget_a_use, "does not know this use"),
        (add_an_operand, "has 2 operands, declares 1"),
        (drop_an_operand, "has 0 operands, declares 1"),
        (drop_an_attribute, "lacks the attribute axis"),
        (take_over_a_region, "belongs to another operation"),
        (put_something_behind_a_terminator, "terminator must be last"),
        (link_into_two_blocks, "a block that is not its parent"),
        (swap_results, "result 0 belongs to another operation"),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_damage_is_found(damage: Callable[[Operation, Declared], None], message: str) -> None:
    module, source, user = sample()
    damage(source, user)
    with pytest.raises(VerifyError, match=message) as caught:
        verify(module)
    assert caught.value.number == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("axis", "0"), ("axis", True), ("axis", 1.0), ("axis", (1,)), ("direction", "down")],
)
def test_attributes_must_be_of_the_declared_kind(name: str, value: Attribute) -> None:
    module, _, user = sample()
    user.attributes[name] = value
    with pytest.raises(VerifyError, match=f"attribute {name} cannot be"):
        verify(module)


def test_constraints_of_a_class_have_their_number() -> None:
    module, _, user = sample()
    user.attributes["axis"] = -1
    with pytest.raises(VerifyError, match=r"test.declared \(C1\): the axis is negative") as caught:
        verify(module)
    assert (caught.value.number, caught.value.op) == (1, user)


def test_attributes_are_those_declared() -> None:
    module, _, user = sample()
    user.attributes["axes"] = 1
    with pytest.raises(VerifyError, match=r"test.declared \(C0\): has no attribute axes"):
        verify(module)


@pytest.mark.parametrize("value", [1, None, True])
def test_an_optional_attribute_is_of_its_kind(value: Attribute | None) -> None:
    op = Anything([], {} if value is None else {"text": value}, [], [])
    module = Module.empty()
    module.append(op)
    if value is None:
        verify(module)
        assert op.text is None
        return
    with pytest.raises(VerifyError, match=f"attribute text cannot be {value}"):
        verify(module)


def test_no_method_hides_an_attribute() -> None:
    with pytest.raises(TypeError, match=r"`places` is an attribute already"):
        type("Hiding", (Operation,), {"places": lambda self: ()})


def test_symbols_must_be_distinct() -> None:
    module = Module.empty()
    for _ in range(2):
        module.append(Anything([], {"sym_name": "f"}, [], []))
    with pytest.raises(VerifyError, match=r"builtin.module \(C1\)"):
        verify(module)
