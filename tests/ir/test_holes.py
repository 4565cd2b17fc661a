"""IR that says something of itself that is not so, as `dmc opt` reads it."""

from __future__ import annotations

import re

import pytest

import dmc
from dmc.driver import Compilation, Stage, run_textual
from dmc.ir.parser import parse_module
from tests.ir.test_levels import PROGRAM


@pytest.mark.parametrize(
    ("what", "instead", "message"),
    [
        (r"wrt = \[1\]", "wrt = [9]", r"C2.*wrt is \[9\], of 3"),
        (r"wrt = \[1\]", "wrt = [-1]", "C2"),
        (r"wrt = \[1\]", "wrt = [1, 1]", "C2"),
        (r"wrt = \[1\]", "wrt = [0]", "C3.*results of @loss"),
        (r"of = \[0\]", "of = [1]", r"C2.*of is \[1\], of 1"),
        (r"of = \[0\]", "of = []", "C3.*operands of @loss"),
        ("callee = @loss", "callee = @nothing", "C1.*no function @nothing"),
        ("callee = @loss", "callee = @f", "C3"),
        ("trip_count = 5", "trip_count = 4", "C6.*the count is 5, and the trip count 4"),
        ("trip_count = 5", "trip_count = -2", "C6"),
        ("carried = 1", "carried = 3", "C7"),
        ("carried = 1", "carried = -1", "C7"),
        (r"  func.return %r : tensor<f64>\n", "", "does not end in a terminator"),
        (r"    control.yield %b : tensor<f64>\n", "", "does not end in a terminator"),
        (r"  func.return %r : tensor<f64>", "  control.yield %r : tensor<f64>", "C1"),
        (
            r"math.tanh %h : tensor<8x3xf64>",
            "math.tanh %h : tensor<9x3xf64>",
            "not tensor<9x3xf64>",
        ),
    ],
)
def test_tensor_level(what: str, instead: str, message: str) -> None:
    text, count = re.subn(what, instead, PROGRAM, count=1)
    assert count == 1
    with pytest.raises(dmc.Error, match=message):
        run_textual(text, "")


@pytest.mark.parametrize(
    ("what", "instead"),
    [("lanes = 4", "lanes = 8"), ("lanes = 2", "lanes = 0"), ("vector<4xf64>", "vector<8xf64>")],
)
def test_lanes_are_those_of_the_types(what: str, instead: str) -> None:
    text = Compilation(parse_module(PROGRAM), "f").ir(Stage.LOOP)
    assert what in text
    with pytest.raises(dmc.Error, match=r"ir\.invalid|ir\.syntax"):
        run_textual(text.replace(what, instead, 1), "")


@pytest.mark.parametrize("places", ['["nowhere"]', '["arena"]', '["arena x"]', "[]", "[3]"])
def test_places_are_places(places: str) -> None:
    text = Compilation(parse_module(PROGRAM), "f").ir(Stage.KERNEL)
    damaged = re.sub(r'places = \["arena 0"\]', f"places = {places}", text, count=1)
    assert damaged != text
    with pytest.raises(dmc.Error, match="places"):
        run_textual(damaged, "")


LOOPS = """
loop.func @g(%a: memref<8xf64>) {private = true} {
  loop.return()
}
loop.func @f(%a: memref<8xf64>) {
  loop.call %a {callee = @g} : (memref<8xf64>) -> ()
  loop.return()
}
"""
CIRCLE = """
func.func @f(%x: tensor<f64>) -> tensor<f64> {
  %y = func.call %x {callee = @g} : (tensor<f64>) -> tensor<f64>
  func.return %y : tensor<f64>
}
func.func @g(%x: tensor<f64>) -> tensor<f64> {
  %y = func.call %x {callee = @f} : (tensor<f64>) -> tensor<f64>
  func.return %y : tensor<f64>
}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LOOPS.replace("callee = @g", "callee = @h"), "C1.*no function @h"),
        (LOOPS.replace("8xf64", "9xf64", 1), "C2.*@g takes"),
        (LOOPS.replace("callee = @g", "callee = @f"), "@f needs @f"),
        (CIRCLE, "@[fg] needs @[fg] needs @[fg]: a program has no recursion"),
    ],
)
def test_calls_find_a_function_that_ends(text: str, message: str) -> None:
    with pytest.raises(dmc.Error, match=message):
        run_textual(text, "inline")


BRANCHES = """
func.func @f(%c: tensor<i1>, %x: tensor<f64>) -> tensor<f64> {
  %y = "control.if"(%c) ({
  ^bb0(%i: tensor<i64>):
    "control.yield"(%x) : (tensor<f64>) -> ()
  }, {
    "control.yield"(%x) : (tensor<f64>) -> ()
  }) : (tensor<i1>) -> tensor<f64>
  func.return %y : tensor<f64>
}
"""
OUTSIDE = """
%z = arith.constant dense<1.0> : tensor<f64>
func.func @f(%x: tensor<f64>) -> tensor<f64> {
  %y = arith.add %x, %z : tensor<f64>
  func.return %y : tensor<f64>
}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BRANCHES, "C3.*a branch takes nothing"),
        (OUTSIDE, "not defined before its use"),
        (
            LOOPS.replace("  loop.return", "  %n = arith.constant 2147483648 : i32\n  loop.return"),
            "value does not fit i32",
        ),
    ],
)
def test_what_would_be_passed_over_is_refused(text: str, message: str) -> None:
    with pytest.raises(dmc.Error, match=message):
        run_textual(text, "")


def test_maps_of_kernels_are_over_their_dimensions() -> None:
    text = Compilation(parse_module(PROGRAM), "f").ir(Stage.KERNEL)
    damaged = text.replace("(d0, d1, d2) -> (d0, d1)>]", "(d0, d1) -> (d0, d1)>]", 1)
    assert damaged != text
    with pytest.raises(dmc.Error, match="has other dimensions"):
        run_textual(damaged, "")
