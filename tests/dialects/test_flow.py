"""What control flow operations say of their flows holds against what they are."""

from __future__ import annotations

import pytest

from dmc.dialects import func
from dmc.dialects.flow import ControlFlow, flow_of, reach
from dmc.ir import Module, Operation, Value
from dmc.ir.parser import parse_module
from dmc.ir.printer import print_module

TEXT = """
func.func @f(%n: tensor<i64>, %x: tensor<f64>, %xs: tensor<4xf64>, %c: tensor<i1>)
    -> (tensor<f64>, tensor<f64>, tensor<4xf64>, tensor<f64>, tensor<f64>, tensor<3xf64>) {
  %k = arith.constant 4 : tensor<i64>
  %a, %b, %s = control.for %k, %x, %x, %xs {carried = 2, trip_count = 4} :
      (tensor<i64>, tensor<f64>, tensor<f64>, tensor<4xf64>) ->
      (tensor<f64>, tensor<f64>, tensor<4xf64>)
      (%i: tensor<i64>, %p: tensor<f64>, %q: tensor<f64>, %e: tensor<f64>) {
    %t = arith.add %q, %e : tensor<f64>
    control.yield %q, %t, %p : tensor<f64>
  }
  %w, %tape = control.while %a : (tensor<f64>) -> (tensor<f64>, !dmc.tape<tensor<f64>>)
      (%u: tensor<f64>) {
    %z = arith.compare %u, %x {direction = "LT"} : (tensor<f64>, tensor<f64>) -> tensor<i1>
    control.yield %z : tensor<i1>
  }, (%v: tensor<f64>) {
    %y = arith.add %v, %b : tensor<f64>
    control.yield %y, %v : tensor<f64>
  }
  %r = control.if %c : (tensor<i1>) -> tensor<f64> {
    control.yield %w : tensor<f64>
  }, {
    control.yield %x : tensor<f64>
  }
  %o, %m = control.map %w {sizes = [3]} : (tensor<f64>) -> (tensor<f64>, tensor<3xf64>)
      (%j: tensor<i64>, %l: tensor<f64>) {
    %h = arith.add %l, %r : tensor<f64>
    control.yield %h, %r : (tensor<f64>, tensor<f64>) -> ()
  }
  func.return %a, %b, %s, %w, %r, %m
      : (tensor<f64>, tensor<f64>, tensor<4xf64>, tensor<f64>, tensor<f64>, tensor<3xf64>) -> ()
}
"""


@pytest.fixture
def function() -> func.Func:
    return func.lookup(parse_module(TEXT), "f")


@pytest.mark.parametrize("generic", [False, True])
def test_tapes_have_a_textual_form(function: func.Func, generic: bool) -> None:
    module = function.parent_op
    assert isinstance(module, Module)
    text = print_module(module, generic=generic)
    assert "-> (tensor<f64>, !dmc.tape<tensor<f64>>)" in text
    assert print_module(parse_module(text), generic=generic) == text


def structured(function: func.Func) -> list[ControlFlow]:
    return [op for op in function.walk() if isinstance(op, ControlFlow)]


def test_every_result_and_argument_is_in_one_flow(function: func.Func) -> None:
    for op in structured(function):
        flows = op.flows()
        results = [flow.result for flow in flows if flow.result is not None]
        assert results == list(range(len(op.results)))
        for block in op.taking:
            taken = {flow.argument for flow in flows if flow.argument is not None}
            rest = [arg for i, arg in enumerate(block.args) if i not in taken]
            assert set(rest) <= set(op.indexes())
        sliced = {flow.operand for flow in flows if flow.sliced and flow.operand is not None}
        assert sliced == {i for i in range(len(op.operands)) if op.slices(i)}
        entering = {flow.operand for flow in flows if flow.operand is not None}
        assert {op.operands[i] for i in range(len(op.operands)) if i not in entering} <= set(
            op.drivers()
        )


def test_one_value_has_one_type_and_a_slice_lacks_the_leading_axis(function: func.Func) -> None:
    for op in structured(function):
        for flow in op.flows():
            inside = {v.type for v in (*flow.arguments, *flow.yielded)}
            ends = {v.type for v in (flow.entering, flow.leaving) if v is not None}
            assert len(inside) == 1
            assert (inside == ends) != flow.sliced


def test_values_know_their_flow(function: func.Func) -> None:
    for op in structured(function):
        for flow in op.flows():
            values = [*flow.arguments, *([flow.leaving] if flow.leaving is not None else [])]
            assert all(flow_of(value) == flow for value in values)
    assert flow_of(function.body.args[0]) is None


def named(function: func.Func, name: str) -> Value:
    values = [v for op in function.walk() for v in op.results]
    values += [a for op in function.walk() for r in op.regions for a in r.block.args]
    return next(value for value in values if value.name == name)


def test_reach_goes_round_loops(function: func.Func) -> None:
    found = {function.body.args[2]}

    def step(op: Operation) -> tuple[Value, ...]:
        return op.results if any(v in found for v in op.operands) else ()

    reach(function.body, found, step)
    # `e` adds to `q`, which becomes `p` one iteration later and is stacked after another.
    names = ("e", "t", "q", "p", "a", "b", "s", "v", "y", "u", "w", "z", "r", "m")
    assert {named(function, name) for name in names} <= found
    assert named(function, "i") not in found
    assert named(function, "j") not in found
