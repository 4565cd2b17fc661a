"""Requests for derivatives inside programs, nested and through custom rules."""

import numpy as np

from dmc.dialects import autodiff
from dmc.ir import verify
from dmc.transforms.expand_autodiff import ExpandAutodiff
from tests.autodiff.checks import parse, run
from tests.autodiff.test_modes import RULE

CUBE = """
func.func @cube(%x: tensor<f64>) -> (tensor<f64>) {visibility = "private"} {
  %s = arith.multiply %x, %x : tensor<f64>
  %c = arith.multiply %s, %x : tensor<f64>
  func.return %c : tensor<f64>
}
func.func @first(%x: tensor<f64>) -> (tensor<f64>) {visibility = "private"} {
  %one = arith.constant dense<1.0> : tensor<f64>
  %y, %d = autodiff.vjp %x, %one {callee = @cube, wrt = array<i64: 0>, of = array<i64: 0>}
      : (tensor<f64>, tensor<f64>) -> (tensor<f64>, tensor<f64>)
  func.return %d : tensor<f64>
}
func.func @second(%x: tensor<f64>) -> (tensor<f64>) {visibility = "private"} {
  %one = arith.constant dense<1.0> : tensor<f64>
  %y, %d = autodiff.jvp %x, %one {callee = @first, wrt = array<i64: 0>, of = array<i64: 0>}
      : (tensor<f64>, tensor<f64>) -> (tensor<f64>, tensor<f64>)
  func.return %d : tensor<f64>
}
func.func @third(%x: tensor<f64>) -> (tensor<f64>, tensor<f64>) {
  %one = arith.constant dense<1.0> : tensor<f64>
  %y, %d = autodiff.vjp %x, %one {callee = @second, wrt = array<i64: 0>, of = array<i64: 0>}
      : (tensor<f64>, tensor<f64>) -> (tensor<f64>, tensor<f64>)
  func.return %y, %d : (tensor<f64>, tensor<f64>) -> ()
}
"""


def test_reverse_over_forward_over_reverse() -> None:
    module = parse(CUBE)
    ExpandAutodiff().run(module)
    verify(module)
    assert not [op for op in module.walk() if isinstance(op, autodiff.Jvp | autodiff.Vjp)]
    second, third = run(module, "third", [np.asarray(5.0)])
    assert (second, third) == (30.0, 6.0)


def test_reverse_mode_transposes_a_jvp_rule() -> None:
    request = """
    func.func @g_of(%e: tensor<f64>, %m: tensor<f64>, %w: tensor<f64>)
        -> (tensor<f64>, tensor<f64>) {
      %y, %a, %b = autodiff.vjp %e, %m, %w
          {callee = @f, wrt = array<i64: 0, 1>, of = array<i64: 0>}
          : (tensor<f64>, tensor<f64>, tensor<f64>) -> (tensor<f64>, tensor<f64>, tensor<f64>)
      func.return %a, %b : (tensor<f64>, tensor<f64>) -> ()
    }
    """
    module = parse(RULE + request)
    ExpandAutodiff().run(module)
    verify(module)
    a, b = run(module, "g_of", [np.asarray(v) for v in (0.3, 2.0, 10.0)])
    np.testing.assert_allclose([a, b], [10 * np.cos(0.3) * 2.0, 10 * np.sin(0.3)], rtol=1e-14)
