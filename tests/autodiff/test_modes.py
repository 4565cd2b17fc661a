"""Both modes on straight-line code and through `for`, `if`, `while` and `map`, nested."""

import numpy as np
import pytest

from dmc.autodiff import differentiate
from dmc.dialects import arith, func, math
from dmc.ir import Interpreter
from tests.autodiff.checks import check, parse, run

STRAIGHT = """
func.func @f(%x: tensor<3xf64>, %y: tensor<3xf64>) -> (tensor<3xf64>) {
  %a = math.sin %x : tensor<3xf64>
  %b = arith.multiply %a, %y : tensor<3xf64>
  %c = math.exp %b : tensor<3xf64>
  %d = arith.divide %c, %x : tensor<3xf64>
  %e = arith.subtract %d, %a : tensor<3xf64>
  func.return %e : tensor<3xf64>
}
"""

LOOP = """
func.func @f(%x: tensor<f64>, %w: tensor<f64>, %xs: tensor<4xf64>)
    -> (tensor<f64>, tensor<4xf64>) {
  %n = arith.constant dense<4> : tensor<i64>
  %last, %all = control.for %n, %x, %xs {carried = 1, trip_count = 4}
      : (tensor<i64>, tensor<f64>, tensor<4xf64>) -> (tensor<f64>, tensor<4xf64>)
      (%i: tensor<i64>, %h: tensor<f64>, %u: tensor<f64>) {
    %a = arith.multiply %h, %w : tensor<f64>
    %b = arith.add %a, %u : tensor<f64>
    %c = math.tanh %b : tensor<f64>
    %d = arith.multiply %c, %u : tensor<f64>
    control.yield %c, %d : (tensor<f64>, tensor<f64>) -> ()
  }
  func.return %last, %all : (tensor<f64>, tensor<4xf64>) -> ()
}
"""

NESTED_LOOPS = """
func.func @f(%x: tensor<f64>, %w: tensor<f64>) -> (tensor<f64>) {
  %n = arith.constant dense<3> : tensor<i64>
  %r = control.for %n, %x {carried = 1, trip_count = 3, reverse = true}
      : (tensor<i64>, tensor<f64>) -> (tensor<f64>) (%i: tensor<i64>, %h: tensor<f64>) {
    %q = control.for %n, %h {carried = 1, trip_count = 3}
        : (tensor<i64>, tensor<f64>) -> (tensor<f64>) (%j: tensor<i64>, %g: tensor<f64>) {
      %a = arith.multiply %g, %w : tensor<f64>
      %b = math.sin %a : tensor<f64>
      %e = arith.add %b, %h : tensor<f64>
      control.yield %e : tensor<f64>
    }
    control.yield %q : tensor<f64>
  }
  func.return %r : tensor<f64>
}
"""

BRANCH = """
func.func @f(%x: tensor<f64>, %y: tensor<f64>, %p: tensor<i1>) -> (tensor<f64>) {
  %s = arith.multiply %x, %y : tensor<f64>
  %r = control.if %p : (tensor<i1>) -> (tensor<f64>) {
    %a = math.exp %s : tensor<f64>
    %b = arith.multiply %a, %x : tensor<f64>
    control.yield %b : tensor<f64>
  }, {
    %c = math.log %y : tensor<f64>
    control.yield %c : tensor<f64>
  }
  %t = arith.multiply %r, %s : tensor<f64>
  func.return %t : tensor<f64>
}
"""


@pytest.mark.parametrize("checkpoint", ["", ", checkpoint = -1"])
@pytest.mark.parametrize("text", [LOOP, NESTED_LOOPS])
def test_loops_to_second_order(text: str, checkpoint: str) -> None:
    text = text.replace("trip_count = 3", f"trip_count = 3{checkpoint}")
    text = text.replace("trip_count = 4", f"trip_count = 4{checkpoint}")
    point = [np.asarray(0.4), np.asarray(0.7)]
    check(text, [*point, np.linspace(0.2, 0.9, 4)] if text.count("%xs") else point)


def test_straight_line_code_to_third_order() -> None:
    check(STRAIGHT, [np.array([0.5, 0.7, 1.1]), np.array([0.2, 0.4, 0.3])], order=3)


@pytest.mark.parametrize("taken", [True, False])
def test_branches_to_second_order(taken: bool) -> None:
    check(BRANCH, [np.asarray(0.4), np.asarray(0.7), np.asarray(taken)])


MAP = """
func.func @f(%x: tensor<4xf64>, %w: tensor<f64>) -> (tensor<4xf64>) {
  %r = control.map {sizes = array<i64: 4>} : () -> (tensor<4xf64>) (%i: tensor<i64>) {
    %e = tensor.extract %x, %i : (tensor<4xf64>, tensor<i64>) -> (tensor<f64>)
    %a = arith.multiply %e, %w : tensor<f64>
    %b = math.sin %a : tensor<f64>
    control.yield %b : tensor<f64>
  }
  func.return %r : tensor<4xf64>
}
"""


def test_maps_to_second_order() -> None:
    check(MAP, [np.linspace(0.2, 0.9, 4), np.asarray(0.7)])


WHILE = """
func.func @f(%a: tensor<f64>) -> (tensor<f64>) {
  %one = arith.constant dense<1.0> : tensor<f64>
  %half = arith.constant dense<0.5> : tensor<f64>
  %tol = arith.constant dense<1.0e-14> : tensor<f64>
  %x = control.while %one : (tensor<f64>) -> (tensor<f64>) (%z: tensor<f64>) {
    %s = arith.multiply %z, %z : tensor<f64>
    %d = arith.subtract %s, %a : tensor<f64>
    %e = arith.abs %d : tensor<f64>
    %c = arith.compare %e, %tol {direction = "GT"} : (tensor<f64>, tensor<f64>) -> (tensor<i1>)
    control.yield %c : tensor<i1>
  }, (%z: tensor<f64>) {
    %q = arith.divide %a, %z : tensor<f64>
    %s = arith.add %q, %z : tensor<f64>
    %m = arith.multiply %s, %half : tensor<f64>
    control.yield %m : tensor<f64>
  }
  func.return %x : tensor<f64>
}
"""


def test_while_in_both_modes() -> None:
    check(WHILE, [np.asarray(2.0)], order=2, tolerance=1e-5)


UNTAKEN = """
func.func @f(%x: tensor<3xf64>) -> (tensor<3xf64>) {
  %zero = arith.constant dense<0.0> : tensor<3xf64>
  %p = arith.compare %x, %zero {direction = "GT"}
      : (tensor<3xf64>, tensor<3xf64>) -> (tensor<3xi1>)
  %two = arith.constant dense<2.0> : tensor<3xf64>
  %d = arith.multiply %x, %two : tensor<3xf64>
  %r = math.sqrt %d : tensor<3xf64>
  %l = math.log %r : tensor<3xf64>
  %s = arith.select %p, %l, %zero : (tensor<3xi1>, tensor<3xf64>, tensor<3xf64>) -> (tensor<3xf64>)
  func.return %s : tensor<3xf64>
}
"""


def test_an_untaken_select_contributes_an_exact_zero() -> None:
    module = parse(UNTAKEN)
    adjoint = differentiate.adjoint(module, func.lookup(module, "f"), [0], [0])
    x = np.array([0.0, -1.0, 4.0])
    _, bar = run(module, adjoint.sym_name, [x, np.ones(3)])
    assert list(bar[:2]) == [0.0, 0.0]
    np.testing.assert_allclose(bar[2], 0.125, rtol=1e-15)


def test_a_wrong_rule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math.Sin, "terms", math.Cos.terms)
    with pytest.raises(AssertionError):
        check(STRAIGHT, [np.array([0.5, 0.7, 1.1]), np.array([0.2, 0.4, 0.3])], order=1)


def test_an_adjoint_that_drops_a_contribution_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_sided(self: arith.Multiply, builder, cotangents):
        return [arith.multiply(builder, cotangents[0], self.rhs), None]

    monkeypatch.setattr(arith.Multiply, "adjoint", one_sided)
    with pytest.raises(AssertionError, match="<Jv, w>"):
        check(STRAIGHT, [np.array([0.5, 0.7, 1.1]), np.array([0.2, 0.4, 0.3])], order=1)


RULE = """
func.func @g(%e: tensor<f64>, %m: tensor<f64>) -> (tensor<f64>) {jvp_rule = @g_jvp} {
  %s = math.sin %e : tensor<f64>
  %r = arith.multiply %s, %m : tensor<f64>
  func.return %r : tensor<f64>
}
func.func @g_jvp(%e: tensor<f64>, %m: tensor<f64>, %y: tensor<f64>, %de: tensor<f64>,
    %dm: tensor<f64>) -> (tensor<f64>) {
  %c = math.cos %e : tensor<f64>
  %cm = arith.multiply %c, %m : tensor<f64>
  %a = arith.multiply %cm, %de : tensor<f64>
  %s = math.sin %e : tensor<f64>
  %b = arith.multiply %s, %dm : tensor<f64>
  %d = arith.add %a, %b : tensor<f64>
  func.return %d : tensor<f64>
}
func.func @f(%e: tensor<f64>, %m: tensor<f64>) -> (tensor<f64>) {
  %y = func.call %e, %m {callee = @g} : (tensor<f64>, tensor<f64>) -> (tensor<f64>)
  func.return %y : tensor<f64>
}
"""


def test_a_jvp_rule_serves_forward_mode() -> None:
    module = parse(RULE)
    tangent = differentiate.tangent(module, func.lookup(module, "f"), [0, 1], [0])
    arguments = [np.asarray(v) for v in (0.3, 2.0, 1.0, 10.0)]
    _, dy = Interpreter(module).call(tangent.sym_name, arguments)
    np.testing.assert_allclose(dy, np.cos(0.3) * 2.0 + np.sin(0.3) * 10.0, rtol=1e-14)
