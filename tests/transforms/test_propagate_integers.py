"""Constant integer arguments reach the loops of the functions they are passed to."""

import numpy as np

from dmc.dialects import func
from dmc.transforms.expand_autodiff import ExpandAutodiff
from dmc.transforms.propagate_integers import PropagateIntegers
from tests.autodiff.checks import parse, run

POWER = """
func.func @power(%x: tensor<f64>, %n: tensor<i64>) -> (tensor<f64>) {visibility = "private"} {
  %one = arith.constant dense<1.0> : tensor<f64>
  %r = control.for %n, %one {carried = 1} : (tensor<i64>, tensor<f64>) -> (tensor<f64>)
      (%i: tensor<i64>, %p: tensor<f64>) {
    %q = arith.multiply %p, %x : tensor<f64>
    control.yield %q : tensor<f64>
  }
  func.return %r : tensor<f64>
}
func.func @f(%x: tensor<f64>) -> (tensor<f64>) {
  %n = arith.constant dense<3> : tensor<i64>
  %one = arith.constant dense<1.0> : tensor<f64>
  %y, %d = autodiff.vjp %x, %n, %one {callee = @power, wrt = [0], of = [0]}
      : (tensor<f64>, tensor<i64>, tensor<f64>) -> (tensor<f64>, tensor<f64>)
  func.return %d : tensor<f64>
}
"""

OTHER = """
func.func @g(%x: tensor<f64>) -> (tensor<f64>) {
  %n = arith.constant dense<4> : tensor<i64>
  %y = func.call %x, %n {callee = @power} : (tensor<f64>, tensor<i64>) -> tensor<f64>
  func.return %y : tensor<f64>
}
"""


def test_reverse_mode_learns_the_count() -> None:
    module = parse(POWER)
    ExpandAutodiff().run(module)
    assert run(module, "f", [np.asarray(5.0)]) == [75.0]


def test_arguments_that_differ_stay_arguments() -> None:
    module = parse(POWER + OTHER)
    PropagateIntegers().run(module)
    power = func.lookup(module, "power")
    assert power.body.args[1].uses
    assert run(module, "g", [np.asarray(2.0)]) == [16.0]


def test_floats_stay_arguments() -> None:
    text = POWER.replace("%y, %d = autodiff.vjp %x, %n", "%y, %d = autodiff.vjp %one, %n")
    module = parse(text)
    PropagateIntegers().run(module)
    power = func.lookup(module, "power")
    assert power.body.args[0].uses
    assert not power.body.args[1].uses
