"""Calls are replaced by what they call, in work that is in proportion to the result."""

from __future__ import annotations

import pytest

from dmc.dialects import func
from dmc.ir import Module, verify
from dmc.ir.parser import parse_module
from dmc.transforms.inline import Inline

CALLED = """
func.func @leaf(%x: tensor<f64>) -> tensor<f64> {visibility = "private"} {
  %0 = math.sin %x : tensor<f64>
  func.return %0 : tensor<f64>
}
func.func @middle(%x: tensor<f64>) -> tensor<f64> {visibility = "private"} {
  %0 = func.call %x {callee = @leaf} : tensor<f64>
  %1 = func.call %0 {callee = @leaf} : tensor<f64>
  func.return %1 : tensor<f64>
}
"""
"""Functions that call each other."""


def inlined(text: str, *, rules: bool = False) -> Module:
    module = parse_module(text)
    Inline(rules=rules).run(module)
    verify(module)
    return module


def test_private_functions_go_with_their_last_call() -> None:
    module = inlined(
        CALLED
        + """
func.func @first(%x: tensor<f64>) -> tensor<f64> {
  %0 = func.call %x {callee = @middle} : tensor<f64>
  func.return %0 : tensor<f64>
}
func.func @second(%x: tensor<f64>) -> tensor<f64> {
  %0 = func.call %x {callee = @middle} : tensor<f64>
  %1 = func.call %0 {callee = @leaf} : tensor<f64>
  func.return %1 : tensor<f64>
}
"""
    )
    ops = {
        function.sym_name: [op.name for op in function.body] for function in func.functions(module)
    }
    assert ops == {
        "first": ["math.sin"] * 2 + ["func.return"],
        "second": ["math.sin"] * 3 + ["func.return"],
    }


def test_functions_that_something_else_names_stay() -> None:
    module = inlined(
        CALLED
        + """
func.func @slope(%x: tensor<f64>) -> tensor<f64> {
  %0 = func.call %x {callee = @middle} : tensor<f64>
  %1, %2 = autodiff.jvp %0, %0 {callee = @middle, of = [0], wrt = [0]} : tensor<f64>
  func.return %1 : tensor<f64>
}
"""
    )
    assert {function.sym_name for function in func.functions(module)} == {"middle", "slope"}


@pytest.mark.parametrize("length", [50, 2_000])
def test_chains_of_calls_have_any_length(length: int) -> None:
    links = (
        f"""
func.func @f{i}(%x: tensor<f64>) -> tensor<f64> {{visibility = "private"}} {{
  %0 = func.call %x {{callee = @f{i - 1}}} : tensor<f64>
  %1 = math.sin %0 : tensor<f64>
  func.return %1 : tensor<f64>
}}"""
        for i in range(1, length)
    )
    first = CALLED.replace("leaf", "f0").partition("func.func @middle")[0]
    last = f"""
func.func @entry(%x: tensor<f64>) -> tensor<f64> {{
  %0 = func.call %x {{callee = @f{length - 1}}} : tensor<f64>
  func.return %0 : tensor<f64>
}}"""
    (entry,) = func.functions(inlined(first + "".join(links) + last))
    assert [op.name for op in entry.body] == ["math.sin"] * length + ["func.return"]
