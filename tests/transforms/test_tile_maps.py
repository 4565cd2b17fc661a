"""tile-maps: several points at once, under masks where their loops differ."""

from __future__ import annotations

import numpy as np
import pytest

import dmc
from dmc.dialects import arith, control, math, tensor
from dmc.ir import Block, Builder, DType, TensorType, Value, VerifyError
from dmc.ir import tensor as tensor_type
from dmc.ir.parser import parse_module
from dmc.ir.verifier import verify
from dmc.jit.pool import pool
from dmc.transforms.batch_maps import BatchMaps
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.dce import Dce
from dmc.transforms.tile_maps import TileMaps
from tests.transforms.programs import check, counts, program
from tests.transforms.test_batch_maps import branch, build, newton, row

F64 = DType.F64


def t(*shape: int) -> TensorType:
    return tensor_type(F64, *shape)


@pytest.mark.parametrize("points", [1, 3, 4, 8, 11])
def test_divergent_loops_run_in_lanes(points: int) -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            return [newton(b, tensor.extract(b, args[0], point))]

        return build(b, [points], element)

    x = np.exp(np.random.default_rng(0).normal(size=points) * 2)
    module = program([t(points)], code)
    check(module, BatchMaps(), TileMaps(lanes=4), Canonicalize(), Dce(), arguments=[x])
    (loop,) = (op for op in module.walk() if isinstance(op, control.While))
    lanes = min(points, 4)
    assert loop.results[0].type == (t(lanes) if lanes > 1 else t())


def test_a_map_inside_another_goes_with_it() -> None:
    """A reduction over a range that depends on the point around it is a map in a map."""
    source = """
fn pairs[N](x: f64[N]) -> f64 = sum[i in 0..N, j in 0..i, k in j..i + 1](x[j] * x[k])
"""
    x = np.random.default_rng(0).normal(size=9)
    wanted = sum(x[j] * x[j : i + 1].sum() for i in range(9) for j in range(i))
    np.testing.assert_allclose(dmc.loads(source).pairs(x), wanted, rtol=1e-12)


def test_several_axes_vectors_and_run_time_counts() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        x, counts_ = args

        def element(b: Builder, point: list[Value]) -> list[Value]:
            i, j = point
            mine = row(b, x, i)
            block = Block([control.INDEX, mine.type])
            inner = Builder(block)
            step = arith.add(inner, block.args[1], mine)
            control.make_yield(inner, [step])
            count = tensor.extract(b, counts_, [i, j])
            op = control.make_for(b, count, [mine], [], block)
            return [op.results[0], arith.convert(b, j, F64)]

        return build(b, [3, 5], element)

    inputs = [t(3, 2), tensor_type(DType.I64, 3, 5)]
    found = counts(check(program(inputs, code), BatchMaps(), TileMaps(lanes=4)))
    assert found["control.map"] == 1


def test_loops_in_branches_end_although_others_run() -> None:
    """At points that do not take the branch its loop would never end."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            x = tensor.extract(b, args[0], point)
            finite = arith.compare(b, arith.Direction.LT, x, arith.scalar(b, 1e300, F64))
            return branch(b, finite, lambda b, _: [newton(b, x)], lambda b, _: [x])

        return build(b, [6], element)

    x = np.array([3.0, np.inf, 0.5, 17.0, np.inf, 1.0])
    module = program([t(6)], code)
    check(module, BatchMaps(), TileMaps(lanes=4), arguments=[x])
    assert counts(module)["control.while"] == 1


def test_abandoned_attempts_leave_no_uses() -> None:
    """Whether what was tried in vain is gone shows when what it used is erased."""

    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            x = tensor.extract(b, args[0], point)
            types = [t(), t()]
            condition, body = Block(types), Block(types)
            at = Builder(condition)
            control.make_yield(at, [arith.compare(at, arith.Direction.GT, *condition.args)])
            at = Builder(body)
            y, z = body.args
            control.make_yield(at, [arith.multiply(at, y, half), arith.add(at, z, half)])
            zero = arith.scalar(b, 0.0, F64)
            return [control.make_while(b, [x, zero], condition, body).results[0]]

        half = arith.scalar(b, 0.5, F64)
        return build(b, [6], element)

    module = program([t(6)], code)
    check(module, BatchMaps())
    outside = set(module.walk())
    for value in (v for op in outside for v in op.results):
        assert set(value.users) <= outside
    check(module, TileMaps(lanes=4))
    outside = set(module.walk())
    for value in (v for op in outside for v in op.results):
        assert set(value.users) <= outside


def test_loops_over_scalars_run_in_lanes_too() -> None:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        def element(b: Builder, point: list[Value]) -> list[Value]:
            start = tensor.extract(b, args[0], point)
            block = Block([control.INDEX, t()])
            at = Builder(block)
            control.make_yield(at, [math.sin(at, block.args[1])])
            return [control.make_for(b, arith.index(b, 5), [start], [], block, 5).results[0]]

        return build(b, [9], element)

    module = program([t(9)], code)
    check(module, BatchMaps(small_loops=False))
    assert counts(module)["control.map"] == 1
    check(module, TileMaps(lanes=4))
    (loop,) = (op for op in module.walk() if isinstance(op, control.For))
    assert loop.results[0].type == t(4)


SUMS = """
func.func @main(%x: tensor<11x4xf64>, %w: tensor<9xf64>, %n: tensor<11xi64>, %start: tensor<9xf64>,
                %from: tensor<f64>)
    -> (tensor<9xf64>, tensor<f64>, tensor<11x3xf64>) {
  %total, %scalar, %each = control.map %start, %from {sizes = [11, 3]}
      : (tensor<9xf64>, tensor<f64>) -> (tensor<9xf64>, tensor<f64>, tensor<11x3xf64>)
      (%i: tensor<i64>, %k: tensor<i64>, %sum: tensor<9xf64>, %s: tensor<f64>) {
    %zero = arith.constant dense<0.0> : tensor<f64>
    %one = arith.constant dense<1> : tensor<i64>
    %a = tensor.extract %x, %i, %k : (tensor<11x4xf64>, tensor<i64>, tensor<i64>) -> tensor<f64>
    %count = tensor.extract %n, %i : (tensor<11xi64>, tensor<i64>) -> tensor<i64>
    %c = arith.compare %a, %zero {direction = "GT"} : (tensor<f64>, tensor<f64>) -> tensor<i1>
    %branched, %v = control.if %c : (tensor<i1>) -> (tensor<9xf64>, tensor<f64>) {
      %u = tensor.reshape %a {shape = [1]} : (tensor<f64>) -> tensor<1xf64>
      %t = tensor.dynamic_update_slice %sum, %u, %count {combiner = "add"}
          : (tensor<9xf64>, tensor<1xf64>, tensor<i64>) -> tensor<9xf64>
      control.yield %t, %a : (tensor<9xf64>, tensor<f64>) -> ()
    }, {
      %t = tensor.dynamic_slice %w, %i {slice_sizes = [3]}
          : (tensor<9xf64>, tensor<i64>) -> tensor<3xf64>
      %t2 = tensor.dynamic_update_slice %sum, %t, %one {combiner = "add"}
          : (tensor<9xf64>, tensor<3xf64>, tensor<i64>) -> tensor<9xf64>
      control.yield %t2, %zero : (tensor<9xf64>, tensor<f64>) -> ()
    }
    %looped, %b = control.for %count, %branched, %v {carried = 2, most = 7}
        : (tensor<i64>, tensor<9xf64>, tensor<f64>) -> (tensor<9xf64>, tensor<f64>)
        (%j: tensor<i64>, %p: tensor<9xf64>, %q: tensor<f64>) {
      %u = tensor.reshape %q {shape = [1]} : (tensor<f64>) -> tensor<1xf64>
      %at = tensor.reshape %j {shape = [1]} : (tensor<i64>) -> tensor<1xi64>
      %p1 = tensor.scatter %p, %u, %at {combiner = "add", start_index_map = [0]}
          : (tensor<9xf64>, tensor<1xf64>, tensor<1xi64>) -> tensor<9xf64>
      %far = arith.add %j, %k : tensor<i64>
      %p2 = tensor.dynamic_update_slice %p1, %u, %far {combiner = "add"}
          : (tensor<9xf64>, tensor<1xf64>, tensor<i64>) -> tensor<9xf64>
      %q1 = math.sin %q : tensor<f64>
      control.yield %p2, %q1 : (tensor<9xf64>, tensor<f64>) -> ()
    }
    %inner = control.map %looped {sizes = [2]} : (tensor<9xf64>) -> tensor<9xf64>
        (%m: tensor<i64>, %p: tensor<9xf64>) {
      %u = tensor.dynamic_slice %w, %m {slice_sizes = [1]}
          : (tensor<9xf64>, tensor<i64>) -> tensor<1xf64>
      %p1 = tensor.dynamic_update_slice %p, %u, %m {combiner = "add"}
          : (tensor<9xf64>, tensor<1xf64>, tensor<i64>) -> tensor<9xf64>
      %whole = arith.add %w, %p1 : tensor<9xf64>
      control.yield %whole : tensor<9xf64>
    }
    %s1 = arith.add %s, %b : tensor<f64>
    control.yield %inner, %s1, %b : (tensor<9xf64>, tensor<f64>, tensor<f64>) -> ()
  }
  func.return %total, %scalar, %each : (tensor<9xf64>, tensor<f64>, tensor<11x3xf64>) -> ()
}
"""


@pytest.mark.parametrize("lanes", [1, 4, 16, 64])
def test_sums_are_added_to_in_place(lanes: int) -> None:
    """Whether a point takes a branch, how long it loops, and what it computes again included."""
    module = parse_module(SUMS)
    check(module, Canonicalize(), TileMaps(lanes=lanes), Canonicalize(), Dce())
    assert all(not op.inits for op in module.walk() if isinstance(op, control.Map))
    for op in module.walk():
        if isinstance(op, control.For):
            assert all(value.type in (t(9), t(), t(lanes)) for value in op.inits[:1])


def test_sums_over_whole_tensors() -> None:
    """A map that can be dissolved adds up what all points add."""
    text = SUMS.replace("control.for %count,", "control.for %one,").replace("most = 7", "most = 1")
    module = check(parse_module(text), Canonicalize(), BatchMaps(), Canonicalize(), Dce())
    assert counts(module)["control.map"] == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("arith.add %w, %p1", "arith.multiply %w, %p1"),
        ("arith.add %w, %p1", "arith.add %p1, %p1"),
        ("arith.add %w, %p1", "arith.subtract %w, %p1"),
        ("control.yield %t2, %zero", "control.yield %w, %zero"),
        ("control.yield %inner, %s1, %b", "control.yield %start, %s1, %b"),
        ("control.yield %inner, %s1, %b", "control.yield %inner, %s1, %s"),
        ("control.yield %inner, %s1, %b", "control.yield %inner, %b, %b"),
    ],
)
def test_what_else_is_done_to_a_sum_is_refused(old: str, new: str) -> None:
    assert old in SUMS
    with pytest.raises(VerifyError, match=r"control\.map \(C4\)"):
        verify(parse_module(SUMS.replace(old, new)))


def test_bits_do_not_depend_on_threads() -> None:
    source = """
fn f[N](x: f64[N], w: f64[8]) -> f64 = sum([i in 0..N] => {
    var s = 0.0
    for j in 0..i % 50 { s += sin(x[i - j] * w[j % 8]) }
    s
})
"""
    rng = np.random.default_rng(0)
    gradient = dmc.grad(dmc.loads(source).f, wrt=("x", "w"))
    arguments = rng.normal(size=3000), rng.normal(size=8)
    before, found = pool().threads, list[bytes]()
    try:
        for threads in (1, 2, 3):
            pool().resize(threads)
            found.append(b"".join(np.asarray(part).tobytes() for part in gradient(*arguments)))
    finally:
        pool().resize(before)
    assert len(set(found)) == 1


def test_tapes_of_loops_in_branches_that_all_points_take() -> None:
    source = """
fn one[K](x: f64[K], n: i64, m: i64) -> f64 {
    var s = x[0]
    for i in 0..n {
        if i > 1 {
            for j in 0..m { s = tanh(s + x[j % K] * s) }
        } else { s += x[i % K] }
    }
    s
}
fn all[B, K](x: f64[B, K], n: i64[B], m: i64[B]) -> f64 = sum([b in 0..B] => one(x[b], n[b], m[b]))
"""
    rng = np.random.default_rng(1)
    x, n, m = rng.normal(size=(19, 3)), rng.integers(0, 6, 19), rng.integers(0, 5, 19)
    program = dmc.loads(source)
    alone = dmc.grad(program.one, wrt="x")
    expected = [alone(*each) for each in zip(x, n, m, strict=True)]
    np.testing.assert_allclose(dmc.grad(program.all, wrt="x")(x, n, m), expected, rtol=1e-12)
