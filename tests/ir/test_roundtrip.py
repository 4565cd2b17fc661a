"""Text to IR to text is the identity, in both forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmc.ir import (
    UNKNOWN,
    Block,
    DType,
    Location,
    Module,
    Region,
    ScalarType,
    Span,
    TensorType,
    Value,
)
from dmc.ir.location import SourceFile
from dmc.ir.parser import IRSyntaxError, parse_module
from dmc.ir.printer import Printer, print_module
from tests.ir.modules import Anything, Constant, Function, Same, difference, modules

F32 = ScalarType(DType.F32)


@given(modules(), st.booleans(), st.booleans())
@settings(max_examples=100)
def test_print_parse_print_is_the_identity(module: Module, generic: bool, locations: bool) -> None:
    text = print_module(module, generic=generic, locations=locations)
    again = parse_module(text)
    assert difference(module, again, locations=locations) is None
    assert print_module(again, generic=generic, locations=locations) == text
    # The other form holds the same, too.
    other = print_module(again, generic=not generic, locations=locations)
    assert print_module(parse_module(other), generic=generic, locations=locations) == text


def module_of(*ops: Anything | Constant | Function | Same) -> Module:
    block = Block()
    for op in ops:
        block.insert(op)
    return Module(regions=[Region(block)])


def function_of(name: str, *ops: Anything | Constant | Same) -> Function:
    block = Block()
    for op in ops:
        block.insert(op)
    return Function([], {"sym_name": name}, [Region(block)], [])


def test_the_pretty_form() -> None:
    block = Block([TensorType((4,), DType.F32)], ["x"])
    one = Constant([], {"value": 1.0}, [], [F32], names=["h"])
    two = Same([one.result, one.result], {}, [], [F32], names=["h"])
    inner = Block([F32], ["i"])
    inner.insert(Same([inner.args[0]], {}, [], []))
    type_ = block.args[0].type
    attributes = {"axis": -1, "axes": (1, 0)}
    body = [Region(inner), Region(Block())]
    three = Anything([block.args[0], two.results[0]], attributes, body, [type_, F32])
    for op in (one, two, three):
        block.insert(op)
    function = Function([], {"sym_name": "f"}, [Region(block)], [])
    assert Printer().operation(function) == (
        "test.func @f(%x: tensor<4xf32>) {\n"
        "  %h = test.constant 1.0 : f32\n"
        "  %h_1 = test.nested.same %h, %h : f32\n"
        "  %0, %1 = test.anything %x, %h_1 {axes = [1, 0]} : "
        "(tensor<4xf32>, f32) -> (tensor<4xf32>, f32) (%i: f32) {\n"
        "    test.nested.same %i : f32\n"
        "  }, {\n"
        "  }\n"
        "}"
    )
    assert Printer(generic=True).operation(function) == (
        '"test.func"() <{sym_name = "f"}> ({\n'
        "^bb0(%x: tensor<4xf32>):\n"
        '  %h = "test.constant"() <{value = 1.0}> : () -> f32\n'
        '  %h_1 = "test.nested.same"(%h, %h) : (f32, f32) -> f32\n'
        '  %0, %1 = "test.anything"(%x, %h_1) <{axes = array<i64: 1, 0>, axis = -1, scale = 0.0}> '
        "({\n"
        "  ^bb0(%i: f32):\n"
        '    "test.nested.same"(%i) : (f32) -> ()\n'
        "  }, {\n"
        "  ^bb0:\n"
        "  }) : (tensor<4xf32>, f32) -> (tensor<4xf32>, f32)\n"
        "}) : () -> ()"
    )


def test_names_start_afresh_in_every_function() -> None:
    ops = [Constant([], {"value": 1}, [], [F32], names=["h"]) for _ in range(2)]
    text = print_module(module_of(*(function_of(f"f{i}", op) for i, op in enumerate(ops))))
    assert text.count("%h = ") == 2


def test_locations_use_the_syntax_of_mlir() -> None:
    span = Span(SourceFile("a.dm"), 3, 5, 3, 9)
    texts = {
        Location(span): 'loc("a.dm":3:5 to 3:9)',
        Location(span, "adjoint"): 'loc(fused<"adjoint">["a.dm":3:5 to 3:9])',
        Location(None, "fuse"): 'loc("fuse")',
    }
    for location, text in texts.items():
        op = Same([], {}, [], [], location)
        assert Printer(locations=True).operation(op) == f"test.nested.same() {text}"
        assert Printer().operation(op) == "test.nested.same()"
        (again,) = parse_module(f"test.nested.same {text}").body
        assert again.location == location


def test_locations_that_mlir_shortens_are_read() -> None:
    module = parse_module('test.nested.same loc("a.dm":3:5 to :9)\ntest.nested.same loc(unknown)')
    first, second = module.body
    assert first.location.span == Span(SourceFile("a.dm"), 3, 5, 3, 9)
    assert second.location == UNKNOWN


@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf, -math.inf, 1e-320, 0.1, -0.0])
def test_floats_are_exact(value: float) -> None:
    module = module_of(Anything([], {"v": value}, [], []))
    assert difference(module, parse_module(print_module(module)), locations=False) is None


def test_comments_and_loose_functions_are_read() -> None:
    text = "// made by hand\ntest.func @f() { // here\n}\n"
    assert print_module(parse_module(text)) == "test.func @f() {\n}\n"
    assert print_module(parse_module("")) == ""


ERRORS = {
    "test.func @f( {": (1, 15, "unexpected `{`"),
    "test.func @f() {\n  test.nested.same": (2, 19, "the text ends too early"),
    "test.func @f() {\n  ! }": (2, 3, "unexpected `!`"),
    "test.nested.same %x : f32": (1, 18, "`%x` is not defined before this"),
    "%x = test.constant 1.0 : f32\ntest.nested.same %x : f64": (2, 18, "`%x` is f32, not f64"),
    "%x, %x = test.anything : () -> (f32, f32)": (1, 5, "`%x` is defined twice"),
    "test.unheard_of": (1, 1, "no operation is called `test.unheard_of`"),
    "%x = test.anything : () -> (f32, f32)": (1, 6, "0 operands and 1 results, but types for"),
    "test.func @f(%x: tensor<4xq7>) {}": (1, 18, "`q7` is not an element type"),
    "test.func @f(%x: tensor<axf32>) {}": (1, 18, "not an element type"),
    "test.func @f(%x: tensor<4xf32, strided<[1]>>) {}": (1, 18, "a tensor has no strides"),
    "%c = test.constant dense<1.0> : f32": (1, 20, "a dense constant is a tensor, not a f32"),
    "%c = test.constant dense<1> : tensor<f32>": (1, 20, "`1` is not an f32"),
    "%c = test.constant dense<300> : tensor<i8>": (1, 20, "300 does not fit an i8"),
    "%c = test.constant dense<[1, [2]]> : tensor<2xi8>": (1, 20, "do not form a tensor<2xi8>"),
    "%c = test.constant dense<[1, 2, 3]> : tensor<2xi8>": (1, 20, "do not form a tensor<2xi8>"),
    "%c = test.constant dense<[1, x]> : tensor<2xi8>": (1, 20, "is not a dense constant"),
    "%c = test.constant dense<NaN> : tensor<f32>": (1, 20, "is not a dense constant"),
    "%c = test.constant dense<> : tensor<2xi8>": (1, 20, "do not form a tensor<2xi8>"),
    '%c = test.constant dense<"0x01"> : tensor<2xi8>': (1, 20, "1 bytes are not a tensor<2xi8>"),
    '%c = test.constant dense<"0xZZ"> : tensor<1xi8>': (1, 20, "hexadecimal"),
    "%c = test.constant dense<0x7F> : tensor<f32>": (1, 20, "`0x7F` is not the bits of an f32"),
    "%c = test.constant 0x7FF : f64": (1, 20, "16 hexadecimal digits"),
    "test.anything {m = affine_map<(d0) -> (d1)>}": (1, 20, "not a dimension of the map"),
    "test.anything {m = affine_map<(i) -> (i)>}": (1, 20, "d0, d1 and so on"),
    "test.anything {m = affine_set<(d0) : (d0)>}": (1, 20, "reads `d0 - d1 >= 0`"),
    "test.anything {m = affine_set<(d0) : (d0 mod 2 >= 0)>}": (1, 20, "set are affine"),
    "test.anything {m = array<i64: x>}": (1, 20, "not a list of integers"),
    'test.anything {m = "\\FF"}': (1, 20, "not UTF-8"),
    "test.anything {m = 1, m = 2}": (1, 23, "the attribute `m` is given twice"),
}


@pytest.mark.parametrize(("text", "wanted"), ERRORS.items(), ids=lambda item: str(item)[:40])
def test_errors_have_a_place(text: str, wanted: tuple[int, int, str]) -> None:
    with pytest.raises(IRSyntaxError) as caught:
        parse_module(text, "bad.mlir")
    line, column, message = wanted
    error = caught.value
    assert message in error.message
    assert (error.span.file.name, error.span.start_line, error.span.start_column) == (
        "bad.mlir",
        line,
        column,
    )
    shown = str(error).splitlines()
    assert shown[1] == text.split("\n")[line - 1]
    assert shown[2] == " " * (column - 1) + "^"
    assert error.code == "ir.syntax"


def test_the_comparison_finds_planted_differences() -> None:
    def sample(value: float = 1.0, location: Location = UNKNOWN) -> Module:
        constant = Constant([], {"value": value}, [], [F32], location)
        return module_of(constant, Same([constant.result], {}, [], [F32]))

    assert difference(sample(), sample(), locations=True) is None
    assert difference(sample(), sample(2.0), locations=True)
    assert difference(sample(), sample(True), locations=True)
    assert difference(sample(0.0), sample(-0.0), locations=True)
    assert difference(sample(), sample(location=Location(None, "fuse")), locations=True)
    assert difference(sample(), Module.empty(), locations=True)


def test_all_names_of_values_are_printable() -> None:
    block = Block([F32] * 3, ["x y", "x.y", "7"])
    function = Function([], {"sym_name": "f"}, [Region(block)], [])
    assert Printer().operation(function).startswith("test.func @f(%x_y: f32, %x.y: f32, %_7: f32)")
    assert isinstance(block.args[0], Value)
