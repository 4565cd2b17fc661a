"""write-out and stack-columns: short axes become columns, which lie together again."""
# ruff: noqa: E501

from __future__ import annotations

import numpy as np
import pytest

import dmc
from dmc.dialects import arith, kernel, tensor
from dmc.ir import Module, VerifyError, shape_of, verify
from dmc.ir.parser import parse_module
from dmc.ir.passes import PassManager
from dmc.transforms import pipeline
from dmc.transforms.columns.write_out import WriteOut
from dmc.transforms.stack_columns import StackColumns
from tests.growth.measure import compiled
from tests.transforms.programs import check

PROGRAM = dmc.loads("""
fn turned(r: f64[3], x: f64[3]) -> f64[3] {
    let t = sqrt(r @ r)
    let w = r / t
    x * cos(t) + cross(w, x) * sin(t) + w * ((w @ x) * (1.0 - cos(t)))
}
fn seen(r: f64[3], x: f64[3]) -> f64[2] {
    let p = turned(r, x)
    p[:2] / p[2]
}
fn all[C, N](r: f64[C, 3], x: f64[N, 3], at: i32[N]) -> (f64[N, 2], f64[N, 2, 3]) =
    ([n] => seen(r[at[n]], x[n]), [n] => jacobian(seen, wrt = x)(r[at[n]], x[n]))
fn beside[C, N](r: f64[C, 3], x: f64[N, 3], at: i32[N]) -> f64[N, 2, 4] {
    let slopes = [n] => jacobian(seen, wrt = x)(r[at[n]], x[n])
    [n, i, c in 0..4] => if c < 3 { slopes[n, i, c] } else { f64(10 * i + c) }
}
fn loss[C, N](r: f64[C, 3], x: f64[N, 3], at: i32[N]) -> f64 =
    sum([n] => sum(seen(r[at[n]], x[n]) ** 2))
""")

MOVEMENT = """
func.func @main(%x: tensor<70x3xf64>, %m: tensor<3x3xf64>, %s: tensor<70x2x2xf64>)
    -> (tensor<70x4xf64>, tensor<2x70xf64>, tensor<70x6xf64>, tensor<70x3xf64>) {
  %r = tensor.reverse %x {dimensions = [1]} : (tensor<70x3xf64>) -> tensor<70x3xf64>
  %d = tensor.dot_general %r, %m {lhs_contracting_dimensions = [1], rhs_contracting_dimensions = [0]} : (tensor<70x3xf64>, tensor<3x3xf64>) -> tensor<70x3xf64>
  %t = tensor.transpose %s {permutation = [0, 2, 1]} : (tensor<70x2x2xf64>) -> tensor<70x2x2xf64>
  %e = tensor.dot_general %t, %s {lhs_batching_dimensions = [0], lhs_contracting_dimensions = [1], rhs_batching_dimensions = [0], rhs_contracting_dimensions = [2]} : (tensor<70x2x2xf64>, tensor<70x2x2xf64>) -> tensor<70x2x2xf64>
  %q = tensor.reshape %e {shape = [70, 4]} : (tensor<70x2x2xf64>) -> tensor<70x4xf64>
  %h = tensor.reduce %e {dimensions = [1], kind = "max"} : (tensor<70x2x2xf64>) -> tensor<70x2xf64>
  %g = tensor.transpose %h {permutation = [1, 0]} : (tensor<70x2xf64>) -> tensor<2x70xf64>
  %z = arith.constant dense<2.0> : tensor<f64>
  %p = tensor.pad %d, %z {edge_padding_high = [0, 1], edge_padding_low = [0, -1], interior_padding = [0, 0]} : (tensor<70x3xf64>, tensor<f64>) -> tensor<70x3xf64>
  %a = tensor.accumulate %p {map = affine_map<(d0, d1) -> (d0, d1 * 2 + 1)>, shape = [70, 6]} : (tensor<70x3xf64>) -> tensor<70x6xf64>
  %w = tensor.read %a {map = affine_map<(d0, d1) -> (d0, d1 * 2 - 1)>, sizes = [70, 3]} : (tensor<70x6xf64>) -> tensor<70x3xf64>
  %c = tensor.concatenate %w, %d {dimension = 1} : (tensor<70x3xf64>, tensor<70x3xf64>) -> tensor<70x6xf64>
  %k = arith.constant dense<1> : tensor<i64>
  %o = arith.constant dense<0> : tensor<i64>
  %u = tensor.dynamic_update_slice %c, %h, %o, %k {combiner = "add"} : (tensor<70x6xf64>, tensor<70x2xf64>, tensor<i64>, tensor<i64>) -> tensor<70x6xf64>
  %v = tensor.slice %u {limit_indices = [70, 6], start_indices = [0, 0], strides = [1, 2]} : (tensor<70x6xf64>) -> tensor<70x3xf64>
  func.return %q, %g, %u, %v : (tensor<70x4xf64>, tensor<2x70xf64>, tensor<70x6xf64>, tensor<70x3xf64>) -> ()
}
"""


def _kernels(module: Module) -> list[kernel.Generic]:
    found = [op for op in module.walk() if isinstance(op, kernel.Generic)]
    return [op for op in found if op.points >= 100]


def test_short_axes_are_written_out() -> None:
    """The results stay, and nothing is left that has the short axes but what puts them together."""
    module = check(parse_module(MOVEMENT), WriteOut())
    left = [op for op in module.walk() if isinstance(op, tensor.DotGeneral | tensor.Reduce)]
    assert not left
    joined = (tensor.Concatenate, tensor.Reshape, tensor.Slice)
    for op in module.walk():
        if op.results and not isinstance(op, joined) and shape_of(op.results[0].type)[:1] == (70,):
            assert shape_of(op.results[0].type) == (70,), op.name


def test_few_meetings_are_left_alone() -> None:
    before = parse_module(MOVEMENT)
    PassManager([WriteOut(least_mixing=20)]).run(before)
    assert any(isinstance(op, tensor.DotGeneral) for op in before.walk())


def _arguments() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    turns, points = rng.normal(size=(5, 3)), rng.normal([0.0, 0.0, 4.0], size=(103, 3))
    return turns, points, (np.arange(103) % 5).astype("i4")


def test_a_map_over_points_is_one_kernel() -> None:
    """Rotations, projections and their Jacobians are computed in registers and stored once."""
    arguments = _arguments()
    compilation = compiled(PROGRAM.all, arguments)
    (op,) = [op for op in _kernels(compilation.kernels) if not op.reduction]
    assert op.columns[-2:] == (2, 6)
    values, slopes = PROGRAM.all(*arguments)
    turns, points, at = arguments
    for n in (0, 50, 102):
        assert np.allclose(values[n], PROGRAM.seen(turns[at[n]], points[n]), rtol=1e-12)
        one = dmc.jacobian(PROGRAM.seen, wrt="x")(turns[at[n]], points[n])
        assert np.allclose(slopes[n], one, rtol=1e-12)


def test_tables_of_subscripts_are_numbers() -> None:
    """Neither the unit vectors of a Jacobian nor the place in a row is looked up at every point."""
    rng = np.random.default_rng(1)
    given = rng.normal(size=(2, 3)), rng.normal(size=(300, 3)) + 4.0, np.arange(300, dtype="i4") % 2
    kernels = compiled(PROGRAM.beside, given).kernels
    ops = [op for each in _kernels(kernels) if not each.reduction for op in each.body]
    assert not any(isinstance(op, arith.Select | arith.Compare) for op in ops)
    assert not [op for op in kernels.walk() if isinstance(op, kernel.Generic) and op.points < 100]
    out = PROGRAM.beside(*given)
    np.testing.assert_array_equal(out[..., :3], PROGRAM.all(*given)[1])
    np.testing.assert_array_equal(out[..., 3], [[3.0, 13.0]] * 300)


def test_gradients_agree_with_differences() -> None:
    turns, points, at = _arguments()
    slope = dmc.grad(PROGRAM.loss, wrt="r")(turns, points, at)
    step = 1e-6 * np.eye(5, 3)
    plus, minus = (PROGRAM.loss(turns + s * step, points, at) for s in (1, -1))
    assert np.isclose((slope * np.eye(5, 3)).sum(), (plus - minus) / 2e-6, rtol=1e-6)


STACKED = """
func.func @main(%x: tensor<6xf64>, %y: tensor<6x1xf64>) -> (tensor<6x3xf64>, tensor<6xf64>) {
  %a, %b = kernel.generic %x {maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], sizes = [6]} : (tensor<6xf64>) -> (tensor<6xf64>, tensor<6xf64>) (%v: tensor<f64>) {
    %s = math.sin %v : tensor<f64>
    %c = math.cos %v : tensor<f64>
    kernel.yield %s, %c : (tensor<f64>, tensor<f64>) -> ()
  }, (%p: tensor<f64>, %q: tensor<f64>) {
    kernel.yield %p, %q : (tensor<f64>, tensor<f64>) -> ()
  }
  %l = kernel.view %a {shape = [6, 1]} : (tensor<6xf64>) -> tensor<6x1xf64>
  %r = kernel.view %b {shape = [6, 1]} : (tensor<6xf64>) -> tensor<6x1xf64>
  %z = kernel.concatenate %l, %y, %r {axis = 1} : (tensor<6x1xf64>, tensor<6x1xf64>, tensor<6x1xf64>) -> tensor<6x3xf64>
  func.return %z, %b : (tensor<6x3xf64>, tensor<6xf64>) -> ()
}
"""


def test_columns_are_stored_where_they_belong() -> None:
    module = check(parse_module(STACKED), StackColumns())
    (op,) = [op for op in module.walk() if isinstance(op, kernel.Generic)]
    assert op.columns == (0, 3)
    check(module, *pipeline.to_kernels()[-1:])
    assert not any(isinstance(op, kernel.Concatenate) for op in module.walk())


def test_columns_are_verified() -> None:
    module = parse_module(STACKED)
    PassManager([StackColumns()]).run(module)
    (op,) = [op for op in module.walk() if isinstance(op, kernel.Generic)]
    op.attributes["columns"] = (0, 2)
    with pytest.raises(VerifyError):
        verify(module)
