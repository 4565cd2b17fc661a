"""Splitting checkpointed loops changes what reverse mode keeps, and no value."""

import numpy as np
import pytest

import dmc
from dmc.dialects import control
from dmc.ir import Module, TensorType, verify
from dmc.transforms.expand_autodiff import ExpandAutodiff
from dmc.transforms.split_checkpoints import SplitCheckpoints
from tests.autodiff.checks import parse, run

LOOP = """
func.func @f(%x: tensor<f64>, %w: tensor<f64>, %xs: tensor<TxF>) -> (tensor<f64>, tensor<TxF>) {
  %n = arith.constant dense<T> : tensor<i64>
  %last, %all = control.for %n, %x, %xs {carried = 1, trip_count = T, checkpoint = C}
      : (tensor<i64>, tensor<f64>, tensor<TxF>) -> (tensor<f64>, tensor<TxF>)
      (%i: tensor<i64>, %h: tensor<f64>, %u: tensor<f64>) {
    %a = arith.multiply %h, %w : tensor<f64>
    %t = arith.convert %i : (tensor<i64>) -> tensor<f64>
    %b = arith.add %a, %t : tensor<f64>
    %c = math.sin %b : tensor<f64>
    %d = arith.multiply %c, %u : tensor<f64>
    control.yield %c, %d : (tensor<f64>, tensor<f64>) -> ()
  }
  func.return %last, %all : (tensor<f64>, tensor<TxF>) -> ()
}
func.func @g(%x: tensor<f64>, %w: tensor<f64>, %xs: tensor<TxF>, %s: tensor<f64>, %ss: tensor<TxF>)
    -> (tensor<f64>, tensor<f64>, tensor<TxF>) {
  %y, %ys, %a, %b, %c = autodiff.vjp %x, %w, %xs, %s, %ss
      {callee = @f, wrt = [0, 1, 2], of = [0, 1]}
      : (tensor<f64>, tensor<f64>, tensor<TxF>, tensor<f64>, tensor<TxF>)
      -> (tensor<f64>, tensor<TxF>, tensor<f64>, tensor<f64>, tensor<TxF>)
  func.return %a, %b, %c : (tensor<f64>, tensor<f64>, tensor<TxF>) -> ()
}
"""


def program(count: int, checkpoint: int) -> Module:
    text = LOOP.replace("TxF", f"{count}xf64").replace("<T>", f"<{count}>")
    return parse(text.replace("= T,", f"= {count},").replace("= C", f"= {checkpoint}"))


def inputs(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(count)
    return [np.asarray(v) for v in rng.standard_normal(2)] + [rng.standard_normal(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 12, 13, 16])
@pytest.mark.parametrize("checkpoint", [-1, 1, 3, 50])
def test_values_and_gradients_stay_bit_for_bit(count: int, checkpoint: int) -> None:
    seeds = [np.asarray(0.7), np.linspace(-1, 1, count)]
    expected = program(count, 0)
    forward = run(expected, "f", inputs(count))
    ExpandAutodiff().run(expected)
    gradients = run(expected, "g", [*inputs(count), *seeds])

    module = program(count, checkpoint)
    SplitCheckpoints().run(module)
    verify(module)
    for got, wanted in zip(run(module, "f", inputs(count)), forward, strict=True):
        np.testing.assert_array_equal(got, wanted)
    ExpandAutodiff().run(module)
    verify(module)
    for got, wanted in zip(run(module, "g", [*inputs(count), *seeds]), gradients, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-300)


def longest_stack(module: Module) -> int:
    """Elements of the largest value that only a loop hands on to another loop."""
    loops = [op for op in module.walk() if isinstance(op, control.For)]
    kept = [
        value.type.size
        for loop in loops
        for value in loop.stacks
        if isinstance(value.type, TensorType)
        and all(isinstance(user, control.For) for user in value.users)
    ]
    return max(kept)


def test_reverse_mode_keeps_about_the_square_root() -> None:
    all_kept, split = program(10_000, 0), program(10_000, -1)
    for module in (all_kept, split):
        ExpandAutodiff().run(module)
    assert longest_stack(all_kept) == 10_000
    assert longest_stack(split) <= 200


NESTED = """
fn g(x: f64) -> f64 {
    var v: i64 = 3
    var y: f64 = x
    checkpoint while v > 0 {
        var w: i64 = 2
        checkpoint while w > 0 {
            y = sin(y) * x
            w = w - 1
        }
        v = v - 1
    }
    checkpoint for j in 0..9 {
        var u: i64 = 2
        checkpoint while u > 0 {
            y = sin(y) * x
            u = u - 1
        }
    }
    y
}
"""


def test_loops_inside_of_others_are_cut_first() -> None:
    plain = dmc.loads(NESTED.replace("checkpoint ", "")).g
    got, wanted = (dmc.grad(f)(0.7) for f in (dmc.loads(NESTED).g, plain))
    np.testing.assert_array_equal(got, wanted)
