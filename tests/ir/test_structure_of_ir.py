"""Values, operations and blocks keep their links; rewriting reaches a fixed point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dmc.ir import (
    Block,
    Builder,
    DenseElements,
    DType,
    Location,
    Module,
    Operation,
    ScalarType,
    TensorType,
    Value,
    verify,
)
from dmc.ir.parser import parse_module
from dmc.ir.printer import print_module
from dmc.ir.rewriter import RewriteLimit, pattern, rewrite
from tests.ir.modules import Anything, Constant, Same

F32 = ScalarType(DType.F32)


def parse(text: str) -> tuple[Module, dict[str, Value]]:
    """A module and its top-level values by name."""
    module = parse_module(text)
    return module, {value.name: value for op in module.body for value in op.results}


def test_replacing_uses_moves_them_and_keeps_the_name() -> None:
    module, values = parse(
        "%a = test.constant 1.0 : f32\n%0 = test.constant 2.0 : f32\n"
        "%c = test.nested.same %a, %a : f32\n"
    )
    one, two, user = (op.results[0] for op in module.body)
    one.replace_all_uses_with(two)
    assert user.owner is values["c"].owner
    assert list(one.uses) == []
    assert [index for _, index in two.uses] == [0, 1]
    assert (two.name, two.users) == ("a", [user.owner])
    verify(module)


def test_used_operations_cannot_be_erased() -> None:
    module, values = parse("%a = test.constant 1.0 : f32\ntest.nested.same %a : f32\n")
    constant = values["a"].defining_op
    assert constant is not None
    with pytest.raises(ValueError, match="is used by"):
        constant.erase()
    for op in list(module.body)[1:]:
        op.erase()
    constant.erase()
    assert print_module(module) == ""


def test_a_clone_is_separate() -> None:
    text = "test.func @f(%x: f32) {\n  %y = test.nested.same %x : f32\n}\n"
    module, _ = parse(text)
    copy = module.clone({})
    assert isinstance(copy, Module)
    (function,) = module.body
    function.erase()
    verify(copy)
    assert print_module(copy) == text


def test_places_follow_the_order_of_the_block() -> None:
    """Also after insertions in one spot have used up the numbers between its neighbours."""
    random = np.random.default_rng(0)
    block = Block()
    for step in range(2000):
        ops = list(block)
        spot = ops[int(random.integers(len(ops)))] if ops and step % 3 else block.first
        if spot is not None and step % 7 == 0:
            spot.detach()
        else:
            block.insert(Anything([], {}, [], []), spot)
        if step % 50 == 0:
            places = [block.place(op) for op in block]
            assert places == sorted(set(places))
    first, second, *_ = block
    assert first.is_before(second)
    assert not second.is_before(first)
    assert not first.is_before(first)
    elsewhere = Anything([], {}, [], [])
    assert not first.is_before(elsewhere)
    Block().insert(elsewhere)
    assert not first.is_before(elsewhere)


def test_captures_are_the_values_from_outside() -> None:
    module, values = parse(
        "%a = test.constant 1.0 : f32\n%b = test.constant 2.0 : f32\n"
        "test.anything {scale = 1.0} (%i: f32) {\n"
        "  %c = test.nested.same %b, %i : f32\n"
        "  test.anything {axis = 1} {\n    test.nested.same %a, %b, %c : f32\n  }\n}\n"
    )
    assert module.body.last is not None
    assert module.body.last.regions[0].captures() == [values["b"], values["a"]]


def test_the_builder_inserts_in_order_and_gives_its_location() -> None:
    module, _ = parse("test.nested.same() loc(unknown)\n")
    place = Location(None, "test")
    builder = Builder.ahead_of(next(iter(module.body)))
    builder.insert(Anything([], {}, [], []))
    with builder.at(place):
        builder.insert(Constant([], {"value": 1}, [], [F32]))
    assert [(type(op), op.location.producer) for op in module.body] == [
        (Anything, ""),
        (Constant, "test"),
        (Same, ""),
    ]


def test_rewriting_goes_on_until_nothing_changes() -> None:
    """Constants count down to zero; what nobody uses disappears."""

    @pattern(Constant)
    def count_down(op: Operation, builder: Builder) -> Sequence[Value] | None:
        number = op.attributes.get("value")
        if not isinstance(number, int) or number == 0:
            return None
        return builder.insert(Constant([], {"value": number - 1}, [], [F32])).results

    module, _ = parse(
        "%a = test.constant 5 : f32\n%dead = test.constant 7 : f32\n"
        "%b = test.nested.same %a : f32\n"
        "test.anything %b {scale = 1.0} : (f32) -> ()\n"
    )
    assert rewrite(module, [count_down])
    assert "%a = test.constant 0 : f32" in print_module(module)
    assert "dead" not in print_module(module)
    verify(module)
    assert not rewrite(module, [count_down])


def test_patterns_that_undo_each_other_are_reported() -> None:
    @pattern(Constant)
    def flip(op: Operation, builder: Builder) -> Sequence[Value] | None:
        value = op.attributes["value"] is not True
        return builder.insert(Constant([], {"value": value}, [], [F32])).results

    module, _ = parse("%a = test.constant true : f32\ntest.anything %a : (f32) -> ()\n")
    with pytest.raises(RewriteLimit, match=r"do not settle at test\.constant"):
        rewrite(module, [flip])


def dense(values: object, dtype: DType = DType.F64) -> DenseElements:
    array = np.array(values, dtype.numpy)
    return DenseElements(array, TensorType(array.shape, dtype))


def test_constants_are_compared_bit_for_bit() -> None:
    assert dense([1.0, np.nan]) == dense([1.0, np.nan])
    assert dense([0.0]) != dense([-0.0])
    assert dense([1.0, 1.0]) == DenseElements.splat(1.0, TensorType((2,), DType.F64))
    assert hash(dense([2.0, 2.0])) == hash(DenseElements.splat(2.0, TensorType((2,), DType.F64)))
    assert dense([1], DType.I32) != dense([1], DType.I64)
    assert dense([[1.0, 1.0]]) != dense([1.0, 1.0])
    assert (dense([3.0, 3.0]).splat_value, dense([3.0, 4.0]).splat_value) == (3.0, None)


def test_constants_cannot_be_written() -> None:
    array = np.zeros(2)
    constant = DenseElements(array, TensorType((2,), DType.F64))
    array[0] = 1.0
    assert constant == dense([0.0, 0.0])
    with pytest.raises(ValueError, match="read-only"):
        constant.array[0] = 1.0


def test_constants_must_have_the_type_they_claim() -> None:
    with pytest.raises(ValueError, match=r"float64\(2,\) is not a tensor<3xf64>"):
        DenseElements(np.zeros(2), TensorType((3,), DType.F64))
